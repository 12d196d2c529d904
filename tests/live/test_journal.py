import pytest

from diffmm.live.journal import (
    DamagedError,
    in_folder,
    Journal,
    JournalError,
    read,
    recover,
    Segments,
)


EVENTS = [{"t": "line", "ns": i, "raw": f"é\n{i}"} for i in range(5)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a" / "journal.jsonl"
    with Journal(path) as journal:
        for event in EVENTS:
            journal.write(event)
    return path


def test_what_was_written_is_read(path):
    assert read(path) == EVENTS


def test_a_line_is_one_object_with_a_crc_and_an_event(path):
    line = path.read_bytes().splitlines()[0]
    assert line.startswith(b'{"c":"')
    assert b'","e":{"t":"line"' in line


def test_a_journal_cut_at_any_byte_keeps_every_whole_line_before_it(path):
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        found, _ = recover(path)
        assert found.events == kept
        assert found.dropped_bytes == cut - (ends[kept - 1] if kept else 0)
        assert read(path) == EVENTS[:kept]


def test_any_changed_byte_ends_the_journal_before_its_line(path):
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(bytes(changed))
        line = whole[:at].count(b"\n")
        assert read(path) == EVENTS[:line]


def test_a_line_taken_out_of_the_middle_is_noticed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert read(path) == EVENTS[:2]


def test_a_reopened_journal_continues_behind_its_torn_line(path):
    with path.open("ab") as file:
        file.write(b'{"c":"0000')
    with Journal(path) as journal:
        assert journal.recovered.events == len(EVENTS)
        assert journal.recovered.dropped_bytes == 10
        journal.write({"t": "end"})
    assert read(path) == [*EVENTS, {"t": "end"}]


def test_every_run_has_a_file_of_its_own_and_recovers_the_one_before(tmp_path):
    with in_folder(tmp_path) as one:
        one.write({"n": 1})
    with one.path.open("ab") as file:
        file.write(b"torn")
    with in_folder(tmp_path) as two:
        two.write({"n": 2})
    assert [x.name for x in sorted(tmp_path.iterdir())] == ["000001.jsonl", "000002.jsonl"]
    assert one.path.read_bytes().endswith(b"}\n")
    assert (read(one.path), read(two.path)) == ([{"n": 1}], [{"n": 2}])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file"):
        Journal(tmp_path / "file" / "journal.jsonl")


def test_a_bad_line_with_whole_ones_behind_it_is_damage_and_nothing_goes_on(path):
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(DamagedError, match="whole records behind it"):
        recover(path)
    assert path.read_bytes() == bytes(changed)


def test_a_full_segment_is_followed_by_one_that_begins_with_the_state(tmp_path):
    segments = Segments(tmp_path, {"t": "state", "n": 0}, lambda: {"t": "state", "n": 1}, 200)
    for k in range(12):
        segments.write({"t": "line", "k": k, "raw": "x" * 30})
    segments.close()
    files = sorted(tmp_path.iterdir())
    assert [x.name for x in files] == [f"00000{k}.jsonl" for k in range(1, 6)]
    told = [read(x) for x in files]
    assert [x[0] for x in told] == [{"t": "state", "n": k} for k in (0, 1, 1, 1, 1)]
    assert [e["k"] for part in told for e in part[1:]] == list(range(12))
