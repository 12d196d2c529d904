"""A recording as data: packed rows, and the frames that the runners scan over."""

import dataclasses
import pathlib

import numpy as np

from .event import Event
from .instrument import Instrument
from .pack import Layout


@dataclasses.dataclass(frozen=True)
class Tape:
    """Rows of one instrument in order of receive time.

    **Attributes:**

    - `rows`: packed events, `[n, width]`.
    - `layout`: their shapes.
    - `frame_rows`: E.
    - `coin`, `size_decimals`, `price_decimals`: the instrument.
    - `anchors`: `(row, anchor price, tick)` each time the anchor moved, price units.
    """

    rows: np.ndarray
    layout: Layout
    frame_rows: int
    instrument: Instrument
    anchors: tuple[tuple[int, int, int], ...]

    def events(self) -> Event:
        """All rows as one batched Event."""
        return self.layout.unpack(self.rows)

    def frame_index(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers `[frames, E]` and which of them are real; the last real one is the wake."""
        wake = self.layout.unpack(self.rows).wake
        ends = np.flatnonzero(wake)
        starts = np.concatenate([[0], ends[:-1] + 1])
        offsets = np.arange(self.frame_rows)[None, :]
        index = starts[:, None] + offsets
        valid = index <= ends[:, None]
        return np.minimum(index, ends[:, None]), valid

    def frames(self, limit: int | None = None, start: int = 0) -> np.ndarray:
        """Packed frames `[frames, E, width]`; padding repeats the wake row as not valid.

        Args:
            limit: number of the first frame left out; all where not given.
            start: number of the first one.
        """
        index, valid = self.frame_index()
        index, valid = index[start:limit], valid[start:limit]
        out = self.rows[index]
        flags = self.layout.views(np.arange(self.layout.width, dtype=np.float32))
        out[:, :, int(flags.is_valid)] *= valid
        return out

    def anchor_at(self, row: int) -> tuple[int, int]:
        """Anchor price and tick in force at a row, price units."""
        found = [a for a in self.anchors if a[0] <= row]
        return found[-1][1:]

    def save(self, path: pathlib.Path) -> None:
        """One file that loads with no parsing."""
        np.savez(
            path,
            rows=self.rows,
            shape=np.array([self.layout.levels, self.layout.slots, self.frame_rows]),
            coin=np.array(self.instrument.coin),
            decimals=np.array(
                [
                    self.instrument.size_decimals,
                    self.instrument.price_decimals,
                    self.instrument.fixed_tick,
                ]
            ),
            anchors=np.array(self.anchors, np.int64),
        )

    @classmethod
    def load(cls, path: pathlib.Path) -> "Tape":
        """A tape written by `save`; nothing is unpickled."""
        with np.load(path, allow_pickle=False) as data:
            levels, slots, frame_rows = map(int, data["shape"])
            size, price, tick = map(int, data["decimals"])
            anchors = tuple((int(a), int(b), int(c)) for a, b, c in data["anchors"])
            instrument = Instrument(str(data["coin"]), size, price, tick)
            return cls(data["rows"], Layout(levels, slots), frame_rows, instrument, anchors)
