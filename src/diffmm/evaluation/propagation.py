"""How fast a market takes in moves of its reference: the law fitted on recorded moves, and scored.

After a move of signed size `s_i`, our mid changes over a step of lag `j` by

    change_ij = pass_through s_i [absorbed(t_j+1) - absorbed(t_j)] + noise
    absorbed(t) = 1 - exp(-sum_k rate_k max(t - delay_k, 0))

Changes over steps, not levels: the noise of a random walk is then independent, and least squares is
the likelihood. So what a fit needs of the moves is two sums a lag, and a bootstrap over blocks of
time is cheap. A move counts until the next one. Absorption is of what was left when the move was
seen; what our mid had gone by then is not in it and is reported beside.

Scored on the later part in nats a move against two rivals: all is absorbed already, and one
exponential without a delay. Source: ours; the test recovers planted delays and rates.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from diffmm.market import Tape

from . import forecast
from .markouts import INTERVAL


@dataclasses.dataclass(frozen=True)
class Config:
    """Numbers of the fit.

    **Attributes:**

    - `horizon_s`, `step_s`: how long a move is followed, and in what steps.
    - `before_s`: how long before it was seen our mid is looked at.
    - `most_classes`: K at most; how many is decided by blocked folds of the earlier part.
    - `folds`: how many of them.
    - `worth`: standard errors that another class must gain on them.
    - `starts_s`, `starts_rate`: where delays and rates start from, in every combination.
    - `least`, `most_rate`: bounds of delays and rates.
    - `iterations`: of the damped Gauss-Newton steps.
    - `resamples`: of the bootstrap of the fitted law.
    - `least_moves`: fewer are not fitted.
    - `warm_s`: start of a recording in which moves do not count.
    """

    horizon_s: float = 10.0
    step_s: float = 0.1
    before_s: float = 2.0
    most_classes: int = 2
    folds: int = 5
    worth: float = 2.0
    starts_s: tuple[float, ...] = (0.05, 0.3, 1.0, 3.0)
    starts_rate: tuple[float, ...] = (0.2, 1.0, 4.0)
    least: float = 1e-3
    most_rate: float = 20.0
    iterations: int = 60
    resamples: int = 200
    least_moves: int = 20
    warm_s: float = 60.0


@dataclasses.dataclass(frozen=True)
class Moves:
    """Moves of the reference and what our mid did after each.

    **Attributes:**

    - `time_s`, `size_bp`: when each was seen, and its signed size.
    - `change_bp`: `[moves, steps]`, of our mid over each step; 0 where it does not count.
    - `counts`: which steps come before the next move and the end.
    - `before_bp`: what our mid had gone in the move's direction when it was seen.
    """

    time_s: np.ndarray
    size_bp: np.ndarray
    change_bp: np.ndarray
    counts: np.ndarray
    before_bp: np.ndarray

    def within(self, start_s: float, end_s: float) -> "Moves":
        """Those that were seen in `[start, end)`."""
        chosen = (self.time_s >= start_s) & (self.time_s < end_s)
        return Moves(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(Moves)))

    def columns(self) -> np.ndarray:
        """`s change` and `s^2` of each step, `[moves, 2 steps]`: their sums are all a fit needs."""
        size = self.size_bp[:, None]
        return np.concatenate([size * self.change_bp, size**2 * self.counts], axis=1)


@dataclasses.dataclass(frozen=True)
class Law:
    """What a move does: the share of it that was still to come, and when it comes."""

    pass_through: float
    delay_s: np.ndarray
    rate: np.ndarray

    def absorbed(self, since_s: np.ndarray) -> np.ndarray:
        """Share of what was left that is taken in, at each time since the move."""
        acting = np.maximum(np.asarray(since_s)[..., None] - self.delay_s, 0.0)
        return -np.expm1(-np.sum(self.rate * acting, axis=-1))

    def half_s(self, config: Config) -> float:
        """When half is taken in; beyond the horizon it is extrapolated by the law."""
        low, high = 0.0, config.horizon_s
        while self.absorbed(np.array(high)) < 0.5 and high < np.finfo(float).max / 2:
            high *= 2
        for _ in range(config.iterations):
            middle = (low + high) / 2
            low, high = (middle, high) if self.absorbed(np.array(middle)) < 0.5 else (low, middle)
        return high


def moves(tape: Tape, seen: Any, config: Config) -> Moves:
    """What our mid did after each move.

    Args:
        tape: rows that the stage ran on.
        seen: stacked outputs of `features.propagation` on them.
        config: of the fit.
    """
    known = forecast.path(tape)
    row = np.flatnonzero(np.asarray(seen.is_onset) & np.logical_or.accumulate(known.has_book))
    row = row[known.time_s[row] >= config.warm_s]
    time_s, size = known.time_s[row], np.asarray(seen.size_bp, np.float64)[row]
    edges = np.arange(round(config.horizon_s / config.step_s) + 1) * config.step_s
    at_s = time_s[:, None] + edges
    # The row of the move itself is where the clock starts, not one of the same time after it.
    at = np.maximum(known.row_at(at_s), row[:, None])
    mid = known.mid_bp[at]
    mid[:, 0] = known.mid_bp[row]
    end_s = np.append(time_s[1:], known.time_s[-1])
    counts = at_s[:, 1:] <= end_s[:, None]
    before = known.mid_bp[row] - known.mid_bp[known.row_at(time_s - config.before_s)]
    change = np.where(counts, np.diff(mid, axis=1), 0.0)
    return Moves(time_s, size, change, counts, np.sign(size) * before)


def fit(sums: np.ndarray, classes: int, config: Config, start: Law | None = None) -> Law:
    """Least squares of the law; rates and delays in logs, by damped Gauss-Newton steps.

    Args:
        sums: of `Moves.columns` over the moves.
        classes: K.
        config: of the fit.
        start: where to start from; by default from every combination of the starts.
    """
    lags = len(sums) // 2
    weight = sums[lags:]
    root = np.sqrt(weight)
    target = np.where(weight > 0, sums[:lags] / np.where(root > 0, root, 1.0), 0.0)
    edges = np.arange(lags + 1) * config.step_s
    if start is not None:
        starts = [(start.delay_s, start.rate)]
    else:
        delays = itertools.combinations(config.starts_s, classes)
        rates = itertools.product(config.starts_rate, repeat=classes)
        starts = [(np.array(d), np.array(r)) for d, r in itertools.product(delays, rates)]
    found = [_descend(target, root, edges, d, r, config) for d, r in starts]
    best = min(found, key=lambda one: one[0])[1]
    order = np.argsort(best.delay_s)
    return Law(best.pass_through, best.delay_s[order], best.rate[order])


def choose(told: Moves, config: Config) -> int:
    """How many classes foresee left-out blocks of time; another one must be clearly worth it."""
    columns = told.columns()
    fold = np.arange(len(columns)) * config.folds // len(columns)
    best, chosen = None, 1
    for classes in range(1, config.most_classes + 1):
        laws = [fit(columns[fold != k].sum(axis=0), classes, config) for k in range(config.folds)]
        each = np.stack([_errors(told, law, config) for law in laws])
        each = each[fold, np.arange(len(columns))]
        gained = each if best is None else best - each
        if best is None or gained.sum() > config.worth * gained.std() * np.sqrt(len(columns)):
            best, chosen = each, classes
    return chosen


def exponential(sums: np.ndarray, config: Config) -> Law:
    """The rival: one class without a delay, fitted over all rates on a fine grid."""
    lags = len(sums) // 2
    edges = np.arange(lags + 1) * config.step_s
    rates = np.geomspace(config.least, config.most_rate, 400)
    laws = [Law(1.0, np.zeros(1), np.array([rate])) for rate in rates]
    steps = np.stack([np.diff(law.absorbed(edges)) for law in laws])
    cross, square = steps @ sums[:lags], steps**2 @ sums[lags:]
    share = np.maximum(cross, 0.0) / np.where(square > 0, square, 1.0)
    best = int(np.argmax(2 * share * cross - share**2 * square))
    return dataclasses.replace(laws[best], pass_through=float(share[best]))


def _descend(
    target: np.ndarray,
    root: np.ndarray,
    edges: np.ndarray,
    delay_s: np.ndarray,
    rate: np.ndarray,
    config: Config,
) -> tuple[float, Law]:
    """Squared error and law from one start; the pass-through is solved for at every step."""
    low = np.log(config.least)
    high = np.log(np.repeat([config.horizon_s, config.most_rate], len(rate)))

    def at(logs):
        delay, speed = np.split(np.exp(logs), 2)
        law = Law(1.0, delay, speed)
        step = np.diff(law.absorbed(edges)) * root
        square = step @ step
        share = max(step @ target, 0.0) / square if square > 0 else 0.0
        law = dataclasses.replace(law, pass_through=float(share))
        left = np.exp(-np.sum(speed * np.maximum(edges[:, None] - delay, 0.0), axis=1))[:, None]
        acting = np.maximum(edges[:, None] - delay, 0.0)
        by_delay = -left * speed * (acting > 0) * delay
        slopes = np.concatenate([by_delay, left * acting * speed], axis=1)
        slopes = np.diff(slopes, axis=0) * root[:, None]
        error = target - share * step
        return error @ error, law, error, np.concatenate([step[:, None], share * slopes], axis=1)

    logs = np.clip(np.log(np.concatenate([delay_s, rate])), low, high)
    damping, now = 1e-2, at(logs)
    for _ in range(config.iterations):
        _, _, error, slopes = now
        # A coordinate that would leave its bounds stands still, and the others know it.
        uphill = (slopes.T @ error)[1:]
        is_free = ~(((logs <= low) & (uphill < 0)) | ((logs >= high) & (uphill > 0)))
        slopes = slopes * np.concatenate([[True], is_free])
        normal = slopes.T @ slopes
        scale = np.diag(np.diag(normal) + np.finfo(float).eps * (1 + np.trace(normal)))
        step = np.linalg.solve(normal + damping * scale, slopes.T @ error)[1:]
        tried = np.clip(logs + np.clip(step, -1, 1), low, high)
        then = at(tried)
        if then[0] < now[0]:
            logs, now, damping = tried, then, max(damping / 4, 1e-9)
        else:
            damping = min(damping * 4, 1e9)
    return float(now[0]), now[1]


def table(
    told: Moves, config: Config, start: float, end: float, span_s: float, seed: int = 0
) -> dict[str, Any]:
    """The law fitted on the earlier part and its score on the later one.

    Keys: `moves` and `moves_fitted`; `pass_through`, `half_s` and, by class, `delay_s` and `rate`,
    each with the 90 % interval of the bootstrap; `before` (share of the size that our mid had gone
    when the move was seen); `exponential`; `nats_vs_absorbed` and `nats_vs_exponential` a move on
    the later part with 90 % intervals over blocks of 60 s; `curve`, the measured and the fitted
    response over the size by lag, on the fitting part. All but the counts are `None` where either
    part has too few moves.

    Args:
        told: all moves of the tape.
        config: of the fit.
        start: fitted up to, and scored from, this share of the tape.
        end: scored up to this share.
        span_s: length of the tape.
        seed: of the bootstraps.
    """
    early = told.within(0.0, start * span_s)
    late = told.within(start * span_s, end * span_s)
    out: dict[str, Any] = {"moves_fitted": len(early.time_s), "moves": len(late.time_s)}
    names = ("pass_through", "half_s", "classes", "before", "exponential")
    names += ("nats_vs_absorbed", "nats_vs_exponential", "curve")
    if min(out.values()) < config.least_moves:
        return out | dict.fromkeys(names)
    columns = early.columns()
    sums = columns.sum(axis=0)
    k = choose(early, config)
    law, rival = fit(sums, k, config), exponential(sums, config)
    drawn = forecast.resampled(early.time_s, columns, seed)
    again = [law] if drawn is None else [fit(x, k, config, law) for x in drawn[: config.resamples]]

    def spread(of):
        low, high = (np.quantile([of(x) for x in again], q) for q in INTERVAL)
        return {"value": float(of(law)), "low": float(low), "high": float(high)}

    # The noise of a step as it was where the law was fitted.
    noise = _errors(early, law, config).sum() / early.counts.sum()
    ours, theirs = _errors(late, law, config), _errors(late, rival, config)
    score = lambda other: _mean(late.time_s, (other - ours) / (2 * noise), seed)
    classes = [
        {"delay_s": spread(lambda x, i=i: x.delay_s[i]), "rate": spread(lambda x, i=i: x.rate[i])}
        for i in range(k)
    ]
    size = np.abs(early.size_bp)
    return out | {
        "pass_through": spread(lambda x: x.pass_through),
        "half_s": spread(lambda x: x.half_s(config)),
        "classes": classes,
        "before": float(early.before_bp @ size / (size @ size)),
        "exponential": {
            "pass_through": rival.pass_through,
            "rate": float(rival.rate[0]),
            "half_s": rival.half_s(config),
        },
        "nats_vs_absorbed": score((late.change_bp**2).sum(axis=1)),
        "nats_vs_exponential": score(theirs),
        "curve": _curve(sums, law, config),
    }


def _errors(told: Moves, law: Law, config: Config) -> np.ndarray:
    """Squared error of each move, summed over the steps that count."""
    edges = np.arange(told.change_bp.shape[1] + 1) * config.step_s
    step = law.pass_through * np.diff(law.absorbed(edges))
    error = told.change_bp - told.size_bp[:, None] * step
    return np.sum(np.where(told.counts, error**2, 0.0), axis=1)


def _mean(time_s: np.ndarray, each: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean with a 90 % interval over blocks of time."""
    drawn = forecast.resampled(time_s, np.stack([each, np.ones_like(each)], axis=1), seed)
    low, high = (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], INTERVAL))
    return {"value": float(each.mean()), "low": low, "high": high, "n": len(each)}


def _curve(sums: np.ndarray, law: Law, config: Config) -> list[dict[str, float]]:
    """Cumulated regression response by lag, beside the law's."""
    lags = len(sums) // 2
    weight = sums[lags:]
    by_step = np.where(weight > 0, sums[:lags] / np.where(weight > 0, weight, 1.0), 0.0)
    lag_s = np.arange(1, lags + 1) * config.step_s
    fitted = law.pass_through * law.absorbed(lag_s)
    return [
        {"lag_s": round(float(t), 9), "measured": float(a), "fitted": float(b)}
        for t, a, b in zip(lag_s, np.cumsum(by_step), fitted, strict=True)
    ]
