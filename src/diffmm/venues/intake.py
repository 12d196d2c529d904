"""Recorded or received lines to packed rows: the one path that replay and live share.

What the engine may not trust (an unreadable frame, a lost connection, silence) becomes a row
without a book here, so a replay of the same lines pulls its quotes at the same row as the session.
"""

import collections
import json
from collections.abc import Sequence

import numpy as np

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Instrument, Tape
from diffmm.market.messages import ContextMessage, Notice, NoticeKind
from diffmm.market.own import Own

from .hyperliquid.codec import Codec


GAP = '{"channel":"gap"'
"""How a line begins that says that the connection was lost here."""


def gap(reason: str) -> str:
    """The frame that a recorder or a session puts where a connection was lost."""
    return f'{GAP},"data":{json.dumps(reason)}}}'


class Intake:
    """One instrument (and its reference) from lines to rows, with what was odd on the way.

    **Attributes:**

    - `encoder`: the host encoder and its counters.
    - `notices`: frames that moved no book, by kind.
    - `anchors`: `(row, anchor price, tick)` each time the anchor moved.
    - `rows`: how many rows were made.
    - `mark`: the venue's newest mark price, in price units.
    """

    def __init__(
        self,
        instrument: Instrument,
        account: AccountInputs,
        config: EncoderConfig,
        reference: Instrument | None = None,
    ):
        known = [instrument] + ([reference] if reference else [])
        self.encoder = Encoder(instrument, account, config, reference)
        self.notices: collections.Counter[str] = collections.Counter()
        self.anchors: list[tuple[int, int, int]] = []
        self.rows = 0
        self.mark: int | None = None
        self._codec = Codec({x.coin: x for x in known})
        self._names = [f'"{x.coin}"' for x in known]

    def on_line(self, receive_ns: int, frame: str) -> tuple[list[np.ndarray], list[Notice]]:
        """Rows that one frame makes, timers before it included, and what it said besides.

        Args:
            receive_ns: receive stamp.
            frame: text as received; one of another coin only shows that the feed lives.
        """
        if frame.startswith(GAP):
            # Prints may be missing, and the first ones to come repeat history.
            rows = self.lose_book(receive_ns)
            self.encoder.restart_feed()
            return rows, []
        if '"coin"' in frame and not any(name in frame for name in self._names):
            return self._made(self.encoder.heard(receive_ns)), []
        rows: list[np.ndarray] = []
        notices: list[Notice] = []
        for message in self._codec.decode(frame):
            if isinstance(message, ContextMessage) and message.coin == self.encoder.instrument.coin:
                self.mark = message.mark or self.mark
            if not isinstance(message, Notice):
                rows += self._made(self.encoder.on(message, receive_ns))
                continue
            notices.append(message)
            if message.kind is not NoticeKind.OTHER:
                self.notices[message.kind.value] += 1
            if message.kind is NoticeKind.BAD:
                # It may have been the book's last change; what stands now is not known.
                rows += self.lose_book(receive_ns)
        return rows, notices

    def lose_book(self, now_ns: int) -> list[np.ndarray]:
        """Rows that end the book at once."""
        return self._made(self.encoder.lose_book(now_ns))

    def own(self, changes: Sequence[Own], now_ns: int) -> list[np.ndarray]:
        """Rows that changes of our own orders make."""
        return self._made(self.encoder.own(changes, now_ns))

    def timers(self, now_ns: int) -> list[np.ndarray]:
        """Rows that are due without a message."""
        return self._made(self.encoder.timers(now_ns))

    def tape(self, rows: list[np.ndarray]) -> Tape:
        """Rows made so far as a tape."""
        encoder = self.encoder
        layout, frame_rows = encoder.config.layout, encoder.config.frame_rows
        packed = np.stack(rows)
        return Tape(packed, layout, frame_rows, encoder.instrument, tuple(self.anchors))

    def _made(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        self.rows += len(rows)
        now = (self.encoder.anchor, self.encoder.tick)
        if rows and (not self.anchors or self.anchors[-1][1:] != now):
            # Timers before the message still count from the old anchor.
            self.anchors.append((self.rows - 1, *now))
        return rows
