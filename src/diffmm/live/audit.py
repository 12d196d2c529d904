"""Reconciliation with the venue's own account: the one path of a start, a reconnect and a doubt.

A round asks `/info` for open orders, fills and payments since the last known, and the account.
Fills and orders are evidence like any other; then books and account must be equal to the last
integer. What moves while a round is under way makes it unequal, so it is asked again.
"""

import dataclasses

from diffmm.market import Instrument
from diffmm.market.reports import AccountReport, FillReport, FundingReport, OrderReport
from diffmm.venues.hyperliquid.account import WordError, Words

from .books import Books
from .desk import Desk
from .events import Ask


OVERLAP_MS = 60_000
"""How far before the newest known fill the venue is asked again."""
HOUR_MS = 3_600_000
WEIGHTS = {"openOrders": 20, "clearinghouseState": 2, "userFillsByTime": 20, "userFunding": 20}
"""What the venue counts for each question, of 1200 a minute."""
PAGE = 2000
"""Fills in one answer at most."""


@dataclasses.dataclass
class Round:
    """What the venue said of one moment, more or less.

    **Attributes:**

    - `asked`: questions without an answer yet, by id.
    - `failed`: why it must be asked again, if it must.
    """

    asked: dict[int, str]
    orders: list[OrderReport] = dataclasses.field(default_factory=list)
    fills: list[FillReport] = dataclasses.field(default_factory=list)
    fundings: list[FundingReport] = dataclasses.field(default_factory=list)
    account: AccountReport | None = None
    failed: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether every answer came."""
        return not self.asked and self.failed is None


class Auditor:
    """Rounds of one account; at most one at a time.

    **Attributes:**

    - `round`: under way, or `None`; `weight`: of the last one.
    - `is_unequal`: whether the last one found a difference.
    """

    def __init__(self, at: Instrument, user: str):
        self.user = user
        self.round: Round | None = None
        self.is_unequal = False
        self.weight = self._paid_ms = 0
        self._words = Words(at)

    def start(self, desk: Desk, books: Books, venue_ms: int, *, everything: bool) -> list[Ask]:
        """Ask for open orders and the account; for all that was missed as well, if wished.

        Payments are asked for where an hour has ended since, or the last round was unequal.
        """
        since = max((books.last_ms if books.balance is not None else venue_ms) - OVERLAP_MS, 0)
        wanted: dict[str, dict] = {"openOrders": {}, "clearinghouseState": {}}
        if everything:
            wanted["userFillsByTime"] = {"startTime": since}
        if everything and (self.is_unequal or venue_ms // HOUR_MS != self._paid_ms // HOUR_MS):
            wanted["userFunding"] = {"startTime": since}
            self._paid_ms = venue_ms
        self.round, self.weight = Round({}), sum(WEIGHTS[kind] for kind in wanted)
        return [self._ask(desk, self.round, kind, more) for kind, more in wanted.items()]

    def answered(self, desk: Desk, id: int, body: bytes) -> list[Ask] | None:
        """One answer; `None` for another's id, else what must be asked on."""
        round = self.round
        if round is None or id not in round.asked:
            return None
        kind, words = round.asked.pop(id), self._words
        try:
            if kind == "openOrders":
                round.orders = words.open_orders(body)
            elif kind == "userFunding":
                round.fundings = words.fundings(body)
            elif kind == "clearinghouseState":
                round.account = words.account(body)
            else:
                fills = words.fills(body)
                round.fills += fills
                if len(fills) >= PAGE:
                    more = {"startTime": max(x.exchange_ms for x in fills)}
                    return [self._ask(desk, round, kind, more)]
        except WordError as error:
            round.failed = str(error)
        return []

    def unanswered(self, id: int, reason: str) -> bool:
        """No answer; false for another's id."""
        if self.round is None or id not in self.round.asked:
            return False
        self.round.failed = reason
        return True

    def drop(self) -> None:
        """Forget the round under way; its answers are nobody's any more."""
        self.round = None

    def take(self) -> Round | None:
        """The round, once it is done or has failed; then there is none under way."""
        round = self.round
        if round is None or not (round.is_done or round.failed is not None):
            return None
        self.round = None
        return round

    def _ask(self, desk: Desk, round: Round, kind: str, more: dict) -> Ask:
        id = desk.next_id()
        round.asked[id] = kind
        return Ask(id, {"type": kind, "user": self.user, **more})
