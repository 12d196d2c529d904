"""A recording is what the feed said, can be continued after any end, and says where it was cut."""

import argparse
import asyncio
import gzip
import json

import pytest

import sessions
from diffmm.cli import record as command
from diffmm.venues import tape_io
from diffmm.venues.client import Config, Feed
from diffmm.venues.intake import gap
from diffmm.venues.local import serve_tape
from diffmm.venues.recorder import Recorder, Recording, RecordingError


CLOSED = "ws://127.0.0.1:9"
QUICK = Config(first_wait_s=0.01, most_wait_s=0.02)


def recorded(path, served, for_s=None, patience_s=2.0, after=None):
    recording = Recording(path)

    async def main():
        stop = asyncio.Event()
        if after:
            asyncio.get_running_loop().call_later(after, stop.set)
        async with served as url:
            return await Recorder(recording, for_s, patience_s).run(Feed(url, [], 0, QUICK), stop)

    try:
        return asyncio.run(main())
    finally:
        recording.close()


def lines_of(path):
    return list(tape_io.read_lines(path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_served_tape_is_recorded_line_by_line(tmp_path, name):
    lines = sessions.market()
    told = recorded(tmp_path / name, serve_tape(lines, speed=float("inf")))
    assert lines_of(tmp_path / name) == list(lines)
    assert (told.lines, told.gaps) == (len(lines), 0)


def test_frames_without_stamps_are_stamped_in_order_and_control_text_is_left_out(tmp_path):
    frames = ['{"channel":"pong"}', '{"a":\n1}', "Websocket connection established."]
    recorded(tmp_path / "a.jsonl", sessions.scripted(sessions.sends(frames)))
    found = [tape_io.split(x) for x in lines_of(tmp_path / "a.jsonl")]
    assert [frame for _, frame in found] == ['{"channel":"pong"}', '{"a": 1}']
    assert found[0][0] <= found[1][0]


def test_a_lost_connection_is_marked_where_it_happened(tmp_path):
    lines = list(sessions.market())
    scripts = sessions.sends(lines[:30], sessions.kills), sessions.sends(lines[30:])
    told = recorded(tmp_path / "a.jsonl.gz", sessions.scripted(*scripts))
    found = lines_of(tmp_path / "a.jsonl.gz")
    marks = [k for k, line in enumerate(found) if '"channel":"gap"' in line]
    assert marks == [30]
    assert told.gaps == 1
    assert found[:30] + found[31:] == lines


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("torn", [0, 7])
def test_a_recording_is_continued_behind_its_torn_end_with_a_mark(tmp_path, name, torn):
    path, lines = tmp_path / name, list(sessions.market())
    recorded(path, serve_tape(lines[:20], speed=float("inf")))
    recorded(path, serve_tape(lines[20:40], speed=float("inf")))
    if torn:
        path.write_bytes(path.read_bytes()[:-torn])
    recorded(path, serve_tape(lines[40:], speed=float("inf")))
    found = [x for x in lines_of(path) if '"channel":"gap"' not in x]
    assert found[:20] == lines[:20]
    assert found[-len(lines[40:]) :] == lines[40:]
    # A torn line costs itself, a torn gzip member all that it held.
    lost = 0 if not torn else 1 if name == "a.jsonl" else 20
    assert len(found) == len(lines) - lost
    marks = [x for x in lines_of(path) if x.endswith(gap("the recorder was started again"))]
    assert len(marks) == (1 if lost == 20 else 2)


def test_another_gzip_tool_reads_the_whole_recording(tmp_path):
    path, lines = tmp_path / "a.jsonl.gz", sessions.market()
    for part in (lines[:50], lines[50:]):
        recorded(path, serve_tape(part, speed=float("inf")))
    with gzip.open(path, "rt") as file:
        assert len(file.readlines()) == len(lines) + 1


def test_a_file_that_is_no_recording_is_not_touched(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"not gzip at all")
    with pytest.raises(RecordingError, match="no recording"):
        Recording(path)
    assert path.read_bytes() == b"not gzip at all"


def test_time_is_counted_by_the_lines_own_stamps(tmp_path):
    lines = sessions.market()
    told = recorded(tmp_path / "a.jsonl", serve_tape(lines, speed=float("inf")), for_s=5.0)
    assert 5.0 < (told.last_ns - told.first_ns) / 1e9 < 6.0


def test_a_stop_keeps_what_was_heard(tmp_path):
    told = recorded(tmp_path / "a.jsonl.gz", serve_tape(sessions.market(), speed=1.0), after=0.5)
    assert 0 < told.lines == len(lines_of(tmp_path / "a.jsonl.gz"))


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_a_venue_that_cannot_be_reached_exits_with_five_and_says_so(tmp_path, capsys):
    out = str(tmp_path / "a.jsonl.gz")
    args = arguments(
        "--coin", "BTC", "--venue", "ws://127.0.0.1:9", "-o", out, "--patience", "0.3s"
    )
    assert command.main(args) == 5
    said = capsys.readouterr().err
    assert "no frame from ws://127.0.0.1:9" in said
    assert "ConnectionRefusedError" in said


def test_the_command_subscribes_to_every_coin_and_prints_one_object(tmp_path, capsys):
    asked = []

    async def script(socket):
        for _ in range(10):
            asked.append(json.loads(await socket.recv())["subscription"])
        await sessions.sends(sessions.market())(socket)

    async def main():
        async with sessions.scripted(script) as url:
            out = str(tmp_path / "a.jsonl.gz")
            args = arguments("--coin", "SIM,xyz:GOLD", "--venue", url, "-o", out, "--json")
            return await asyncio.to_thread(without_signals, args)

    def without_signals(args):
        # A thread other than the main one may not set signal handlers.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("signal.signal", lambda *_: None)
            return command.main(args)

    assert asyncio.run(main()) == 0
    assert {x["coin"] for x in asked} == {"SIM", "xyz:GOLD"}
    assert [x["type"] for x in asked].count("l2Book") == 4
    told = json.loads(capsys.readouterr().out)
    assert told["lines"] == len(sessions.market())


@pytest.mark.parametrize("venue", ["http://127.0.0.1", "nowhere"])
def test_an_address_that_is_no_websocket_is_a_usage_error(tmp_path, capsys, venue):
    args = arguments("--coin", "BTC", "--venue", venue, "-o", str(tmp_path / "a.jsonl"))
    assert command.main(args) == 2
    assert "expected ws://" in capsys.readouterr().err
