"""How far the total has fallen from its best, marked at the mid."""

from diffmm.evaluation import DrawdownLedger
from diffmm.market import ASK, BID, Instrument


NS = 1_000_000_000
USD = 10**8


def ledger():
    """Prices in cents, sizes in whole coins."""
    return DrawdownLedger(Instrument("TOY", 0, 2), 0)


def mid(book, second, price):
    book.on_mid(second * NS, price - 1, price + 1)


def test_a_fall_is_counted_from_the_highest_point_and_a_rise_does_not_undo_it():
    book = ledger()
    mid(book, 0, 1000)
    book.on_fill(NS, BID, 1000, 3)
    for second, price in enumerate((1100, 900, 1050, 1200, 1150), 2):
        mid(book, second, price)
    assert book.drawdown_1e8 == 3 * 2 * USD
    assert book.pnl_1e8 == 3 * USD * 3 // 2


def test_a_loss_from_the_start_counts_from_zero_and_a_bad_fill_at_once():
    book = ledger()
    mid(book, 0, 1000)
    book.on_fill(NS, BID, 1100, 1)
    assert book.drawdown_1e8 == USD
    book.on_fill(2 * NS, ASK, 900, 1)
    assert book.drawdown_1e8 == 2 * USD == -book.pnl_1e8


def test_no_position_no_drawdown():
    book = ledger()
    for second, price in enumerate((1000, 500, 2000)):
        mid(book, second, price)
    assert book.drawdown_1e8 == 0
