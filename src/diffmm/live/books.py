"""The account in exact integers: an opening balance, every fill and payment once, nothing else.

    position = opening + sum of fills        cash = opening - sum of paid - fees + funding

It must equal the venue's account to the last integer; nothing is ever adjusted to make it so.
"""

import dataclasses

from diffmm.market import BID, Instrument
from diffmm.market.reports import AccountReport, FillReport, FundingReport


MONEY_DECIMALS = 8
MOST_KNOWN = 10_000
"""Newest fills and payments remembered, against being told twice: all that the venue keeps to tell.

A journal's new segment repeats all of them, so that what it folds to knows no less than the run.
"""


class ConflictError(RuntimeError):
    """One id, two contents: somebody's ledger is wrong, and nothing may go on."""


@dataclasses.dataclass(frozen=True)
class Balance:
    """Position in size units, cash in 1e-8 USD."""

    position: int
    cash_1e8: int


class Books:
    """One account, one instrument.

    **Attributes:**

    - `balance`: now; `None` before the opening.
    - `fees_1e8`, `funding_1e8`, `volume_1e8`: sums since the opening.
    - `opened_ms`, `last_ms`: exchange time of the opening, of the newest fill or payment.
    """

    def __init__(self, at: Instrument):
        self.at = at
        self.balance: Balance | None = None
        self.fees_1e8 = self.funding_1e8 = self.volume_1e8 = 0
        self.opened_ms = self.last_ms = 0
        self._fills: dict[int, FillReport] = {}
        self._paid: dict[int, int] = {}
        self._unit = 10 ** (MONEY_DECIMALS - at.price_decimals - at.size_decimals)

    def open(self, balance: Balance, exchange_ms: int) -> None:
        """Start from what the venue holds while nothing moves; what came before is in it."""
        self.balance, self.opened_ms, self.last_ms = balance, exchange_ms, exchange_ms

    def fill(self, one: FillReport) -> bool:
        """Take a fill; false when it was known.

        Raises:
            ConflictError: for a known id with another content.
        """
        if (known := self._fills.get(one.tid)) is not None:
            # The cloid may be absent in one of the feeds.
            if dataclasses.replace(known, cloid=None) != dataclasses.replace(one, cloid=None):
                raise ConflictError(f"fill {one.tid} was {known}, and now is {one}")
            return False
        if self.balance is None or one.exchange_ms <= self.opened_ms:
            return False
        self._fills[one.tid] = one
        value = one.price * one.size * self._unit
        sign = 1 if one.side == BID else -1
        self.balance = Balance(
            self.balance.position + sign * one.size,
            self.balance.cash_1e8 - sign * value - one.fee_1e8,
        )
        self.fees_1e8 += one.fee_1e8
        self.volume_1e8 += value
        self.last_ms = max(self.last_ms, one.exchange_ms)
        self._forget()
        return True

    def funding(self, one: FundingReport) -> bool:
        """Take a payment; false when it was known or came before the opening.

        Raises:
            ConflictError: for a known time with another amount.
        """
        if (known := self._paid.get(one.exchange_ms)) is not None:
            if known != one.paid_1e8:
                raise ConflictError(f"funding at {one.exchange_ms} was {known}, now {one.paid_1e8}")
            return False
        if self.balance is None or one.exchange_ms <= self.opened_ms:
            return False
        self._paid[one.exchange_ms] = one.paid_1e8
        self.balance = dataclasses.replace(
            self.balance, cash_1e8=self.balance.cash_1e8 + one.paid_1e8
        )
        self.funding_1e8 += one.paid_1e8
        self.last_ms = max(self.last_ms, one.exchange_ms)
        return True

    def recent_fills(self) -> list[FillReport]:
        """Fills that may still be told again."""
        return list(self._fills.values())

    def recent_payments(self) -> list[FundingReport]:
        """Payments that may still be told again."""
        return [FundingReport(ms, paid) for ms, paid in self._paid.items()]

    def know(self, fills: list[FillReport], paid: list[FundingReport]) -> None:
        """Fills and payments that the balance counts already."""
        self._fills |= {x.tid: x for x in fills}
        self._paid |= {x.exchange_ms: x.paid_1e8 for x in paid}

    def difference(self, venue: AccountReport) -> Balance | None:
        """What the venue holds beyond these books; `None` when they are equal."""
        if self.balance is None:
            return Balance(venue.position, venue.cash_1e8)
        gap = Balance(
            venue.position - self.balance.position, venue.cash_1e8 - self.balance.cash_1e8
        )
        return None if gap == Balance(0, 0) else gap

    def value_1e8(self, mid2: int) -> int:
        """Cash and position at a price, the double of which is given."""
        held = self.balance or Balance(0, 0)
        return held.cash_1e8 + held.position * mid2 * self._unit // 2

    def _forget(self) -> None:
        if len(self._fills) > MOST_KNOWN:
            del self._fills[next(iter(self._fills))]
        if len(self._paid) > MOST_KNOWN:
            del self._paid[next(iter(self._paid))]
