"""A journal's first record of a segment, folded: what the run knew, and no less."""

import pytest

from diffmm.live import books, recovery
from diffmm.live.blotter import Blotter
from diffmm.market import BID, Instrument
from diffmm.market.reports import FillReport


AT = Instrument.hyperliquid("SIM", 2)


def fill(k):
    return FillReport(k, None, k, BID, 100, 1, 0, k + 1, False)


@pytest.mark.parametrize("n", [2_500, books.MOST_KNOWN + 10])
def test_a_new_segment_knows_every_fill_that_the_run_knows(n):
    kept = books.Books(AT)
    kept.open(books.Balance(0, 0), 0)
    for k in range(n):
        assert kept.fill(fill(k))
    known = recovery.Known(kept, Blotter(), 0)
    folded = recovery._whole(recovery.state(known, 0, "me"), AT).books
    assert folded.recent_fills() == kept.recent_fills()
    assert folded.balance == kept.balance
    assert not folded.fill(fill(n - 2_400))
