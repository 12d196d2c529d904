"""The ledger that also remembers how far it has fallen from its best."""

from .ledger import Ledger


class DrawdownLedger(Ledger):
    """A ledger whose equity, marked at the mid, is watched at every mid and every fill.

    **Attributes:**

    - `drawdown_1e8`: largest fall of the total from an earlier high, the start's zero included.
    """

    drawdown_1e8 = 0
    _best_1e8 = 0

    def on_mid(self, time_ns: int, bid_price: int, ask_price: int) -> None:
        """The touch, in price units."""
        super().on_mid(time_ns, bid_price, ask_price)
        self._watch()

    def on_fills(
        self, time_ns: int, side: int, value: int, size: int, fee_1e8: int | None = None
    ) -> None:
        """Fills of one moment and side taken together."""
        super().on_fills(time_ns, side, value, size, fee_1e8)
        self._watch()

    def on_funding(self, rate: float | str, price2: int | None = None) -> None:
        """One settlement."""
        super().on_funding(rate, price2)
        self._watch()

    def _watch(self) -> None:
        now = self.pnl_1e8
        self._best_1e8 = max(self._best_1e8, now)
        self.drawdown_1e8 = max(self.drawdown_1e8, self._best_1e8 - now)
