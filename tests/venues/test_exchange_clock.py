"""A recording on the venue's own clock."""

from diffmm.venues import tape_io


def line(receive_ms, exchange_ms, word):
    frame = f'{{"channel":"bbo","data":{{"coin":"{word}","time":{exchange_ms}}}}}'
    return f"{receive_ms * 1_000_000} {frame}"


def test_lines_come_in_exchange_order_and_equal_times_keep_theirs():
    base = 1_757_000_000_000
    given = [
        line(base + 900, base + 500, "late"),
        line(base + 910, base + 100, "early"),
        line(base + 920, base + 500, "later"),
        f'{(base + 930) * 1_000_000} {{"channel":"pong"}}',
    ]
    out = tape_io.on_exchange_clock(given)
    words = [next(w for w in ("early", "later", "late", "pong") if f'"{w}"' in x) for x in out]
    assert words == ["early", "late", "later", "pong"]
    assert [int(x.split()[0]) // 1_000_000 - base for x in out] == [100, 500, 500, 500]


def test_a_frame_of_many_prints_counts_from_the_newest():
    frame = '1757000001000000000 {"data":[{"time":1757000000100},{"time":1757000000300}]}'
    assert tape_io.on_exchange_clock([frame])[0].startswith("1757000000300000000 ")
