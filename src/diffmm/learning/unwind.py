"""The unwind policy's problem from a recorded run: counts beside a prior, then the tables.

Outside the hot path: the host counts at rounds and hands the engine new tables as it hands it any
other row of parameters. What is counted is what the record shows: the filter's modes, where the
reducing side stood against the touch and what it was filled with there, what the adding side was
filled with, the funding forecast, the drift that the belief expected.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffmm import belief
from diffmm.engine import graph, loop
from diffmm.evaluation import forecast, placed
from diffmm.market import ASK, BID, Tape
from diffmm.risk import unwind
from diffmm.risk.unwind import Action, estimate


BP = 1e4
SIDES = (BID, ASK)
MARKOUT_S = 10.0
"""After which a fill is worth what the mid says."""
WIDE = 2.0
"""Root mean square drifts at which a shape is wholly adverse."""
ADVERSE_SHARE = 1 / (WIDE * np.sqrt(2 * np.pi))
"""Of the time that a normal drift is adverse, by that weight: `E (d)+ / (WIDE sd)`."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is believed before any count.

    **Attributes:**

    - `prior_s`: seconds that the prior of a rate weighs.
    - `join`, `improve`: fill rates of those actions over the usual ladder's, before any count.
    - `funding_hours`: mean time between changes of the funding state.
    - `least_payment_bp`: hourly funding that is wholly adverse, at least.
    - `income_bp`: worth of a unit filled on the adding side.
    - `phase_s`: of the settlement clock, an hour in all.
    - `discount_s`: mean life of money.
    """

    prior_s: float = 60.0
    join: float = 2.0
    improve: float = 3.0
    funding_hours: float = 8.0
    least_payment_bp: float = 1.0
    income_bp: float = 1.0
    phase_s: tuple[float, ...] = (15.0, 45.0, 240.0, 900.0, 2400.0)
    discount_s: float = 900.0


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What one stretch of a run held; stretches add.

    **Attributes:**

    - `modes`, `funding`: jumps, the funding's as a long sees them.
    - `reduced`: fills of the reducing side by `Action`, and how long it was quoted so.
    - `added_usd`, `held_s`: fills of the adding side, and time with inventory, by mode.
    - `outside_bp`: distance of the reducing side from the touch times seconds, by `Action`.
    - `sigma2`, `spread_bp`, `drift2`, `drift_share`: sums over seconds of the squared volatility by
      mode, half the spread, and the squared drift.
    - `filled_usd`, `earned_usd`: of both sides, the latter by the mid `MARKOUT_S` later less fees.
    - `rate_1h`: largest funding forecast met.
    - `seconds`: in all.
    """

    modes: estimate.Counts
    funding: estimate.Counts
    reduced: estimate.Fills
    added_usd: np.ndarray
    held_s: np.ndarray
    outside_bp: np.ndarray
    sigma2: np.ndarray
    spread_bp: float
    drift2: float
    filled_usd: float
    earned_usd: float
    rate_1h: float
    seconds: float

    def __add__(self, other: "Evidence") -> "Evidence":
        """Both stretches."""
        both = {x.name: getattr(self, x.name) + getattr(other, x.name) for x in _FIELDS}
        both["rate_1h"] = max(self.rate_1h, other.rate_1h)
        return Evidence(**both)


_FIELDS = dataclasses.fields(Evidence)


def gather(
    tape: Tape,
    record: loop.Record,
    params: graph.Params,
    window: placed.Window,
    fee_bp: float,
    config: Config,
) -> Evidence:
    """Counts of a run inside a window.

    Args:
        tape: what was run.
        record: of it, one row a frame.
        params: that it was run with.
        window: what is outside is left out.
        fee_bp: the maker's.
        config: the prior.
    """
    event = tape.events()
    wakes = tape.frame_index()[0][:, -1]
    time_s = np.cumsum(np.asarray(event.dt_s, np.float64))[wakes]
    part = slice(*np.searchsorted(time_s, (window.start_s, window.end_s)))
    wakes, dt_s = wakes[part], np.diff(time_s[part])
    told = lambda x: np.asarray(x)[part].astype(np.float64)
    modes = np.exp(told(record.seen.belief.log_mode))
    before, mode_s = slice(None, -1), modes[:-1] * dt_s[:, None]
    position = told(record.quotes.risk.position_usd)
    filled = told(record.lots).sum(1) * np.asarray(event.rules.lot_usd, np.float64)[wakes, None]

    holds = position[before] != 0
    side = np.where(position[before] > 0, ASK, BID)
    row = np.arange(len(dt_s))
    action, outside_bp = _stood(event, record, wakes[before], side, part)
    chosen = np.eye(len(Action))[action] * holds[:, None]
    rid = np.minimum(filled[1:][row, side], np.abs(position[before])) * holds
    more = filled[1:][row, 1 - side] * holds
    drift = told(record.seen.belief.mean)[:, belief.MU] * float(
        belief.dynamics.drift_horizon_s(params.belief.dynamics.drift_rate, params.risk.holding_s)
    )
    is_known = np.asarray(event.context.is_valid)[wakes]
    rate = np.where(is_known, np.asarray(event.context.funding_rate_1h, np.float64)[wakes], 0.0)
    largest = float(np.abs(rate).max(initial=0.0))
    paid = np.clip(rate * BP / max(config.least_payment_bp, BP * largest), -1, 1)
    stances = np.stack([np.maximum(paid, 0), 1 - np.abs(paid), np.maximum(-paid, 0)], axis=1)
    sigma2 = told(record.seen.belief.mode_sigma_bp) ** 2
    spread = told(record.seen.features.half_spread_bp)
    usd, net_bp = _earned(tape, record, window, fee_bp)
    return Evidence(
        modes=estimate.jumps(modes, dt_s, _exits(params, modes.shape[1])),
        funding=estimate.jumps(stances, dt_s, _funding_prior(config)),
        reduced=estimate.Fills(
            (chosen * rid[:, None]).T @ modes[before], (chosen * dt_s[:, None]).T @ modes[before]
        ),
        added_usd=more @ modes[before],
        held_s=holds @ mode_s,
        outside_bp=chosen.T @ (outside_bp * dt_s),
        sigma2=(sigma2[before] * mode_s).sum(0),
        spread_bp=float(spread[before] @ dt_s),
        drift2=float(drift[before] ** 2 @ dt_s),
        filled_usd=float(usd.sum()),
        earned_usd=float(usd @ net_bp) / BP,
        rate_1h=largest,
        seconds=float(dt_s.sum()),
    )


def problem(found: Evidence, params: graph.Params, account: Any, config: Config) -> unwind.Problem:
    """The posterior mean of every rate, and costs in the units of what was met.

    Args:
        found: counts.
        params: of the engine that will read the tables.
        account: wealth, room and fees.
        config: the prior.
    """
    f = lambda x: jnp.asarray(x, params.risk.holding_s.dtype)
    seconds = max(found.seconds, np.finfo(float).tiny)
    spread = found.spread_bp / seconds
    level = account.room_usd / unwind.LEVELS
    life_s = float(params.pricing.cancel_latency_s + params.pricing.wake_interval_s)
    modes, least = len(found.held_s), float(np.finfo(np.float32).eps)
    # The usual ladder is all that the run did, and since room is bounded it sheds in the long run
    # what it takes in: one rate for both. A taker takes one level while an order of ours lives.
    both = (found.reduced.usd.sum(0) + found.added_usd) / 2
    mean = (both.sum() + level) / (found.held_s.sum() + config.prior_s)
    usual = (both + config.prior_s * mean) / (found.held_s + config.prior_s)
    ones = np.ones(modes)
    prior = [usual, config.join * usual, config.improve * usual, level / life_s * ones]
    fill = estimate.fill_usd_s(found.reduced, np.stack(prior), config.prior_s)
    # No action that gives more away is filled less.
    fill = np.maximum.accumulate(np.concatenate([usual[None], fill[1:]]), axis=0)
    extra = _extra_bp(found, spread, account)
    drift = WIDE * np.sqrt(found.drift2 / seconds) + least
    income = (config.income_bp * level + BP * found.earned_usd) / (level + found.filled_usd)
    reversion = float(params.belief.dynamics.drift_rate)
    onset = reversion * ADVERSE_SHARE / (1 - 2 * ADVERSE_SHARE)
    payment = max(config.least_payment_bp, BP * found.rate_1h)
    off = lambda x: f(np.where(np.eye(len(x), dtype=bool), 1.0, np.maximum(x, least)))
    funding = estimate.rates(found.funding, _funding_prior(config), config.prior_s)
    occupied = np.maximum(found.modes.occupied_s, least)
    sigma = np.sqrt((found.sigma2 + least * config.prior_s) / (occupied + least))
    return unwind.Problem(
        fill_usd_s=f(np.maximum(fill, least)),
        add_usd_s=f(np.maximum(usual, least)),
        income_bp=f(max(income, least)),
        extra_bp=f(extra),
        sigma_bp=f(sigma),
        gamma0=f(1 / (float(params.risk.kelly_fraction) * account.wealth_usd)),
        convexity=f(params.risk.convexity),
        room_usd=f(account.room_usd),
        drift_bp_s=f([drift * reversion, 0.0, -drift * reversion]),
        payment_bp=f([payment, 0.0, -payment]),
        mode_rate=off(estimate.rates(found.modes, _exits(params, modes), config.prior_s)),
        # A short meets the mirror image of what a long does.
        funding_rate=off((funding + funding[::-1, ::-1]) / 2),
        shape_rate=off(
            np.array([[0, reversion, 0], [onset, 0, onset], [0, reversion, 0]], np.float64)
        ),
        phase_s=f(config.phase_s),
        discount_rate=f(1 / config.discount_s),
    )


def _extra_bp(found: Evidence, spread_bp: float, account: Any) -> np.ndarray:
    """What a fill gives away against the usual ladder: the way to its mean price.

    Inside the touch where nothing was seen to stand there: half way to the middle.
    """
    quoted = found.reduced.quoted_s.sum(1)
    usual = found.outside_bp.sum() / max(quoted.sum(), 1.0)
    seen = found.outside_bp[Action.IMPROVE] / max(quoted[Action.IMPROVE], 1.0)
    inside = seen if quoted[Action.IMPROVE] >= 1 else -spread_bp / 2
    taken = 2 * spread_bp + account.taker_fee_bp - account.maker_fee_bp
    join = max(usual, 0.0)
    improve = max(usual - inside, join)
    return np.array([0.0, join, improve, max(usual + taken, improve)])


def _exits(params: graph.Params, modes: int) -> np.ndarray:
    """Jump rates of the filter's modes: out at a mode's rate, for any other alike."""
    out = np.asarray(params.belief.exit_rate, np.float64)[:modes, None]
    return out * (1 - np.eye(modes)) / max(modes - 1, 1)


def _funding_prior(config: Config) -> np.ndarray:
    """From one state of funding to the next one, no jump over the middle."""
    rate = 1 / (3600.0 * config.funding_hours)
    return rate * np.array([[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])


def _stood(
    event: Any, record: loop.Record, wakes: np.ndarray, side: np.ndarray, part: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Which `Action` the reducing side's best order was after each decision, and its distance.

    Outside the touch, or nowhere, it is none of the others; the book is without us, so
    that an order in front of everyone is inside it.
    """
    row = np.arange(len(side))
    ticks = np.asarray(record.standing_ticks)[part][:-1][row, side].astype(np.int64)
    lots = np.asarray(record.standing_lots)[part][:-1][row, side]
    sign = np.where(side == ASK, 1, -1)
    far = np.iinfo(np.int32).max
    touch = np.asarray(event.book.ticks)[wakes, side, 0].astype(np.int64)
    away = np.where(lots > 0, sign[:, None] * (ticks - touch[:, None]), far).min(axis=1)
    action = np.select([away < 0, away == 0], [Action.IMPROVE, Action.JOIN], Action.LADDER)
    is_there = away < far
    tick_bp = np.asarray(event.rules.tick_bp, np.float64)[wakes]
    return action, np.where(is_there, away, 0) * tick_bp


def _earned(
    tape: Tape, record: loop.Record, window: placed.Window, fee_bp: float
) -> tuple[np.ndarray, np.ndarray]:
    """Notional and net markout of the fills that are old enough inside a window."""
    fills, known = fills_of(tape, record)
    inside = (fills.time_s >= window.start_s) & (fills.time_s + MARKOUT_S <= window.end_s)
    fills = fills.where(inside)
    return fills.usd, placed.markout_bp(known, fills, MARKOUT_S) - fee_bp


def fills_of(tape: Tape, record: loop.Record) -> tuple[placed.Fills, forecast.Path]:
    """Our fills of a run, and the mid they are read against."""
    event, known = tape.events(), forecast.path(tape)
    index, valid = tape.frame_index()
    lots, ticks = (np.zeros((len(tape.rows), len(SIDES)), np.int64) for _ in range(2))
    at = index[valid]
    lots[at] = np.asarray(record.lots)[valid]
    ticks[at] = np.asarray(record.lots_ticks)[valid]
    anchor_bp = -np.cumsum(np.asarray(event.shift_bp, np.float64))
    lot_usd = np.asarray(event.rules.lot_usd, np.float64)
    return placed.fills(known, anchor_bp, lot_usd, lots, ticks), known
