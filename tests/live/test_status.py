import io

import pytest

import sessions
from diffmm.live.status import line, Status


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    one = sessions.core(tmp_path_factory.mktemp("status"))
    sessions.run(sessions.scripted(sessions.sends(sessions.market(60.0))), one)
    return one


def test_a_line_says_market_quotes_position_money_and_that_fills_are_modelled(inside):
    told = line(inside)
    for word in ("mid 1", "bid ", "ask ", "pos ", "pnl ", "spr ", "fills ", "(modelled)", "faults"):
        assert word in told
    assert told.startswith("00:30:")


def test_a_terminal_has_one_line_rewritten_and_a_file_has_plain_lines(inside):
    terminal, plain = Terminal(), io.StringIO()
    for stream in (terminal, plain):
        status = Status(stream, 1.0)
        status.show(inside)
        status.show(inside)
        status.end()
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\r\x1b[2K") == 2
    assert plain.getvalue().count("\n") == 2
    assert "\x1b" not in plain.getvalue()


def test_before_the_first_book_the_line_says_what_is_waited_for(tmp_path):
    assert "SIM" in line(sessions.core(tmp_path))
