"""Several instruments in the closed loop: one clock, one budget, prices exchanged at wakes.

Every instrument runs the live step's own two programs, compiled once. Whoever wakes next in receive
time is told what the others' positions amount to in it (`risk.portfolio`), decides, and its new
position is what the next one is told. On a slower common clock the innovations of all filters make
the correlations. Source: ours; tested in `tests/engine/test_portfolio.py`.
"""

import dataclasses
import functools as ft
import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmm import belief
from diffmm.core.health import FATAL
from diffmm.market import Tape
from diffmm.risk import portfolio
from diffmm.simulation import hard_fills

from . import graph, loop, stepper


NS = 1_000_000_000
BP = 1e4
CRISIS = 2
"""Place of the crisis among the belief's modes; where it runs fewer, there is none."""


@dataclasses.dataclass(frozen=True)
class Leg:
    """One instrument's market, and the receive time of its first row."""

    tape: Tape
    start_ns: int


@dataclasses.dataclass(frozen=True)
class Path:
    """The joint account, one entry a decision of whichever instrument.

    **Attributes:**

    - `times_s`: since the first row of all.
    - `leg`: whose decision it was.
    - `position_usd`: of each, before it.
    - `shared`: the prices of the moment, stacked, as numpy.
    - `ticks`: how often all filters were looked at together.
    """

    times_s: np.ndarray
    leg: np.ndarray
    position_usd: np.ndarray
    shared: portfolio.Shared
    ticks: int


@dataclasses.dataclass
class _View:
    """What one instrument last said; V about its first anchor."""

    v_bp: float = 0.0
    expected_bp: float = 0.0
    sd_bp: float = 0.0
    crisis: float = 0.0
    position_usd: float = 0.0
    variance_bp2: float = 0.0
    kelly_usd: float = 0.0
    gamma0: float = 0.0
    is_valid: bool = False


class Joint:
    """The joint state between decisions: views, correlations, prices."""

    def __init__(self, count: int, params: portfolio.Params) -> None:
        """Compile both programs; nobody has said anything yet.

        Args:
            count: K.
            params: of the correlations.
        """
        config = portfolio.Config(count)
        blank, flags = np.zeros(count, np.float32), np.zeros(count, bool)
        state = portfolio.init(params, config=config)
        moved = portfolio.Innovations(blank, blank, flags)
        held = portfolio.Held(blank, blank, blank, blank, flags, np.float32(0))
        update = ft.partial(portfolio.update, config=config)
        self._update = stepper.compile_program(update, params, state, moved)
        self._share = stepper.compile_program(portfolio.share, state, held)
        self._params, self._state = self._flat(params), self._flat(state)
        self._clock_s = float(params.clock_s)
        self._before: list[_View] | None = None
        self.views = [_View() for _ in range(count)]
        self.ticks = 0

    def look(self, k: int, seen: graph.Seen, quotes: graph.Quotes, level_bp: float) -> None:
        """What one instrument says at its decision.

        Args:
            k: which.
            seen: features and belief at its wake, numpy leaves.
            quotes: its decision.
            level_bp: its anchor about its first one.
        """
        b, risk = seen.belief, quotes.risk
        ahead = belief.dynamics.drift_horizon_s(np.float32(b.drift_rate), self._clock_s)
        sigma2 = float(np.sum(np.exp(b.log_mode) * np.square(b.mode_sigma_bp)))
        bad = int(seen.health) & int(FATAL)
        v = float(b.mean[belief.V])
        self.views[k] = _View(
            v_bp=v + level_bp,
            expected_bp=v + level_bp + float(b.mean[belief.MU]) * float(ahead),
            sd_bp=float(np.sqrt(sigma2 * self._clock_s)),
            crisis=float(np.exp(b.log_mode[CRISIS])) if len(b.log_mode) > CRISIS else 0.0,
            position_usd=float(risk.position_usd),
            variance_bp2=float(risk.variance_bp2),
            kelly_usd=float(risk.kelly_usd),
            gamma0=float(risk.gamma0),
            is_valid=bool(b.is_ready) and bool(seen.features.has_book) and not bad,
        )

    def tick(self) -> None:
        """The common clock: what all filters had not expected since the last time."""
        before, self._before = self._before, list(self.views)
        if before is None:
            return
        moved = portfolio.Innovations(
            np.array([b.v_bp - a.expected_bp for a, b in zip(before, self.views, strict=True)]),
            np.array([a.sd_bp for a in before]),
            np.array([a.is_valid and b.is_valid for a, b in zip(before, self.views, strict=True)]),
        )
        out = self._update(np.concatenate((self._params, self._state, self._flat(moved))))
        self._state = out[: self._state.size]
        self.ticks += 1

    def share(self) -> np.ndarray:
        """Prices of the moment, packed."""
        views = self.views
        row = lambda name: np.array([getattr(x, name) for x in views])
        names = ("position_usd", "variance_bp2", "kelly_usd", "crisis", "is_valid")
        gamma0 = np.array(max(x.gamma0 for x in views))
        held = portfolio.Held(**{name: row(name) for name in names}, gamma0=gamma0)
        return self._share(np.concatenate((self._state, self._flat(held))))

    def shared(self, packed: np.ndarray) -> portfolio.Shared:
        """Packed prices, or a batch of them, by name."""
        return self._share.outputs.unpack(packed)

    @staticmethod
    def _flat(tree: Any) -> np.ndarray:
        return np.concatenate([np.ravel(x).astype(np.float32) for x in jax.tree.leaves(tree)])


def replay(
    legs: Sequence[Leg],
    params: graph.Params,
    rule: hard_fills.Params,
    config: loop.Config,
    joint: portfolio.Params,
    *,
    is_shared: bool = True,
    step: stepper.Step | None = None,
) -> tuple[list[loop.Record], Path]:
    """All tapes in the closed loop, frame by frame in receive time.

    Args:
        legs: the markets, of one layout.
        params: of every engine.
        rule: of the fills.
        config: static choices.
        joint: of the correlations.
        is_shared: whether the instruments are told of each other; else the joint risk is only
            measured, and each runs as if it were alone.
        step: both programs of a step, where they are compiled already.

    Returns:
        A record by leg, as `Stepper.replay` leaves it, and the joint account.
    """
    step = stepper.step_of(params, rule, config).compile() if step is None else step
    runs = [stepper.Stepper(params, rule, config, step) for _ in legs]
    at = config.layout.views(np.arange(config.layout.width, dtype=np.float32))
    valid, cross = int(at.is_valid), int(at.account.cross_usd)
    budget = Joint(len(legs), joint)
    frames = [leg.tape.frames() for leg in legs]
    decided: list[list[stepper.Decision]] = [[] for _ in legs]
    start, clock_ns = min(leg.start_ns for leg in legs), round(float(joint.clock_s) * NS)
    rows, packed, due = [], [], start + clock_ns
    for now, k, frame, level in heapq.merge(*(_wakes(k, leg) for k, leg in enumerate(legs))):
        while due <= now:
            budget.tick()
            due += clock_ns
        told = budget.share()
        packed.append(told)
        rows.append(((now - start) / NS, k, *(x.position_usd for x in budget.views)))
        part = frames[k][frame]
        if is_shared:
            part[:, cross] = budget.shared(told).cross_usd[k]
        for vector in part[part[:, valid] > 0]:
            runs[k].row(vector)
        decision = runs[k].decide()
        decided[k].append(decision)
        budget.look(k, runs[k].seen(decision), runs[k].quotes(decision), level)
    path = np.array(rows)
    shared = budget.shared(np.stack(packed))
    records = [run.record(x) for run, x in zip(runs, decided, strict=True)]
    return records, Path(path[:, 0], path[:, 1].astype(int), path[:, 2:], shared, budget.ticks)


def _wakes(k: int, leg: Leg) -> Iterator[tuple[int, int, int, float]]:
    """Receive time, leg, number and level of the anchor of each frame, in order."""
    dt_s = np.asarray(leg.tape.events().dt_s, np.float64)
    now = leg.start_ns + np.round(np.cumsum(dt_s) * NS).astype(np.int64)
    row, anchor, _ = (np.array(x) for x in zip(*leg.tape.anchors, strict=True))
    level = BP * np.log(anchor / anchor[0])
    for frame, last in enumerate(leg.tape.frame_index()[0][:, -1]):
        newest = np.searchsorted(row, last, side="right") - 1
        yield int(now[last]), k, frame, float(level[newest])


def budget_price(shared: portfolio.Shared, records: Sequence[loop.Record]) -> np.ndarray:
    """Price of the joint Kelly ceiling to each instrument, at its mean price over a run, bp.

    Args:
        shared: stacked prices.
        records: by leg.
    """
    duals = [
        np.mean(np.where(r.quotes.allocation.cap_is_kelly, r.quotes.allocation.cap_dual_bp, 0), 0)
        for r in records
    ]
    cov = jnp.asarray(np.mean(shared.cov_bp2, axis=0))
    return np.asarray(portfolio.budget_price(cov, jnp.asarray(np.stack(duals), cov.dtype)))
