"""An engine without sense: ladders near the touch, too large, crossing, or plain garbage.

Whatever it says, no limit may be exceeded. It costs microseconds, so that hours can be simulated.
"""

import random
from types import SimpleNamespace

import numpy as np


WORDS = (0, 1, -1, 7, 2**31 - 1, -(2**31), 10**6)
MOST_LOTS = 1_500
OUTWARD = (-1, 1)
NOTHING = SimpleNamespace(health=0, lots=(0, 0), lots_ticks=(0, 0), nonfinite=False)
UNHEALTHY = SimpleNamespace(health=2**32 - 1, lots=(0, 0), lots_ticks=(0, 0), nonfinite=True)


class Ladder:
    """In the place of the compiled stepper.

    Args:
        seed: of everything it says.
        layout: of the rows.
        wild: share of decisions that are garbage.
        restless: share of slots that change at a decision.
        sick: share of rows and decisions that claim to be unhealthy.
    """

    def __init__(self, seed: int, layout, *, wild=0.01, restless=0.03, sick=0.001):
        self._draw = random.Random(f"ladder {seed}")
        self._wild, self._restless, self._sick = wild, restless, sick
        at = layout.views(np.arange(layout.width))
        self._touch = at.book.ticks[:, 0].astype(int)
        self._is_live = at.orders.is_live.astype(int)
        self._shape = (2, layout.slots)
        self._row = np.zeros(layout.width, np.float32)
        self.decisions = 0

    def row(self, vector, lots=(0, 0), lots_ticks=(0, 0)):
        self._row = vector
        return UNHEALTHY if self._draw.random() < self._sick else NOTHING

    def decide(self):
        self.decisions += 1
        draw = self._draw
        is_garbage = draw.random() < self._wild
        ticks, lots, keep = self._garbage() if is_garbage else self._ladder()
        is_valid = draw.random() < 0.98
        targets = SimpleNamespace(ticks=ticks, lots=lots, keep=keep, is_valid=np.array(is_valid))
        health = 2**32 - 1 if draw.random() < self._sick else 0
        return SimpleNamespace(targets=targets, health=health)

    def restart(self):
        pass

    def trivial(self):
        return None

    def _garbage(self):
        draw = self._draw
        words = lambda: np.array(
            [[draw.choice(WORDS) for _ in range(self._shape[1])] for _ in range(2)], np.int64
        ).astype(np.int32)
        return words(), words(), words() > 0

    def _ladder(self):
        draw = self._draw
        ticks, lots = np.zeros(self._shape, np.int32), np.zeros(self._shape, np.int32)
        keep = np.zeros(self._shape, bool)
        for side in (0, 1):
            touch = int(self._row[self._touch[side]])
            for slot in range(self._shape[1]):
                if self._row[self._is_live[side, slot]] and draw.random() > self._restless:
                    keep[side, slot] = True
                elif draw.random() < 0.7:
                    # Sometimes through the touch, sometimes larger than allowed.
                    ticks[side, slot] = touch + OUTWARD[side] * draw.randint(-1, 4)
                    lots[side, slot] = draw.randint(1, MOST_LOTS)
        return ticks, lots, keep
