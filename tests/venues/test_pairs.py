"""A table of two venues' prices as a recording, and what a frozen reference is worth."""

import numpy as np
import pytest

from diffmm.market import AccountInputs, EncoderConfig
from diffmm.venues import tape_io


HEADER = "timestamp_ms,symbol,maker_bid,maker_ask,hl_bid,hl_ask"


def table(tmp_path, theirs, n=40):
    rows = [HEADER]
    for k in range(n):
        bid = 92.8 + 0.01 * (k % 3)
        rows.append(
            f"{1_776_000_000_000 + 1000 * k},CLX|xyz:CL,{theirs(k)},{bid:.3f},{bid + 0.02:.3f}"
        )
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def encode(path, reference):
    lines = list(tape_io.read_lines(path))
    known = tape_io.universe(lines)
    given = known[reference] if reference else None
    return tape_io.encode(lines, known["xyz:CL"], AccountInputs(), EncoderConfig(), given)[
        0
    ].events()


def test_each_row_is_a_touch_of_both_markets(tmp_path):
    lines = list(tape_io.read_lines(table(tmp_path, lambda k: "93.36,93.37", n=2)))
    assert len(lines) == 4
    assert '"coin":"CLX"' in lines[0]
    assert '"px":"92.800"' in lines[1]
    assert lines[2].startswith("1776000001000000000 ")


def test_a_frozen_reference_is_none_after_five_seconds_and_a_moving_one_stays(tmp_path):
    frozen = encode(table(tmp_path, lambda k: "93.36,93.37"), "CLX")
    time_s = np.cumsum(frozen.dt_s)
    valid = frozen.reference.is_valid
    assert valid[(time_s > 0.5) & (time_s < 4.5)].any()
    # It is first seen with an anchor at 1 s.
    assert not valid[time_s > 6.5].any()
    moving = encode(table(tmp_path, lambda k: f"{93.36 + 0.01 * (k % 2):.2f},93.40"), "CLX")
    assert moving.reference.is_valid[np.cumsum(moving.dt_s) > 6.5].all()


def test_rows_are_those_without_a_reference_once_it_is_frozen(tmp_path):
    path = table(tmp_path, lambda k: "93.36,93.37")
    led, alone = encode(path, "CLX"), encode(path, None)
    n = 60
    for name in ("kind", "wake", "dt_s"):
        np.testing.assert_array_equal(getattr(led, name)[-n:], getattr(alone, name)[-n:])
    np.testing.assert_array_equal(led.book.price_bp[-n:], alone.book.price_bp[-n:])


def test_another_table_is_refused_with_the_columns_that_are_missing(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("timestamp_ms,symbol\n1,A|B\n")
    with pytest.raises(tape_io.TapeError, match="no columns"):
        list(tape_io.read_lines(path))
