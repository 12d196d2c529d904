"""What the classes of a book's participants are worth: a table of them, held-out skill included.

    skill = 1 - sum (n - expected)^2 / sum (n - constant)^2

with `n` the quotes of a class within the horizon and `expected` what was known at the moment. The
stage learns as it goes, so every forecast is out of sample; it is scored on the later part only,
against two rivals: the class's mean rate over the earlier part, and its mean rate over the last
minute. The first is easily beaten where a class comes or goes; only the second shows foresight.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffmm.core import Stage
from diffmm.features import participants
from diffmm.market import Event, Tape

from .forecast import resampled
from .markouts import INTERVAL


WARM_S = 60.0
"""Start of a recording that no mean is taken over."""
GRID_S = 0.25
"""Distance of the moments at which forecasts are scored."""
RECENT_S = 60.0
"""What the second rival remembers."""
SIGNIFICANT = 0.01
"""A cycle is spoken of where chance would show one, of all candidates, less often."""
LEAST_SHARE = 0.01
"""A class of fewer events is not spoken of."""


@dataclasses.dataclass(frozen=True)
class Told:
    """What is kept of every row, `[rows, ...]`; fields as in `Participants`."""

    quotes: np.ndarray
    expected: np.ndarray
    events: np.ndarray
    withdrawal: np.ndarray
    widening: np.ndarray
    last: Any


def stage(config: participants.Config) -> Stage[Any, Any, Event, Any]:
    """The stage of the participants with the outputs that the table is made of."""
    whole = participants.build(config)

    def update(params: Any, state: Any, event: Event) -> tuple[Any, Any]:
        state, said = whole.update(params, state, event)
        is_event = (said.change_usd != 0).astype(said.quotes.dtype)
        events = jnp.sum(said.responsibility * is_event[None], axis=(1, 2))
        return state, {
            "quotes": said.quotes,
            "expected": said.expected_quotes,
            "events": events,
            "withdrawal": said.withdrawal,
            "widening": said.widening,
            "last": {
                "size_usd": said.size_usd,
                "size_sd": said.size_sd,
                "stability": said.stability,
                "period_weight": said.period_weight,
                "rayleigh": said.rayleigh,
                "latency_s": said.latency_s,
                "toxicity_bp": said.toxicity_bp,
                "normal_usd": said.standing.normal_usd,
            },
        }

    return Stage(whole.init, update)


def told(stacked: Any) -> Told:
    """The stacked outputs of `stage` on the host; of the slow ones the last row."""
    host = {k: np.asarray(v, np.float64) for k, v in stacked.items() if k != "last"}
    return Told(**host, last={k: np.asarray(v[-1], np.float64) for k, v in stacked["last"].items()})


def table(
    tape: Tape,
    seen: Told,
    period_s: np.ndarray,
    horizons_s: tuple[float, ...],
    start: float = 0.6,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One object a class, the busiest first.

    Keys: `class`, `size_usd`, `size_sd` (of its log), `cycle_s` (`None` where chance would do) with
    its `rayleigh` z, `latency_s`, `stability`, `share` of the later events, `quotes_s` (a second),
    `normal_usd`, `toxicity_bp`, and by horizon `skill_vs_constant` and `skill_vs_recent` with 90 %
    intervals over blocks of 60 s.

    Args:
        tape: rows that the stage ran on.
        seen: what it said.
        period_s: candidate periods.
        horizons_s: of the forecasts.
        start: scored from this share of the tape on.
        seed: of the bootstrap.
    """
    time_s = np.cumsum(np.asarray(tape.events().dt_s, np.float64))
    total = seen.events[time_s >= start * time_s[-1]].sum(axis=0)
    share = total / max(total.sum(), 1.0)
    last, rows = seen.last, []
    for k in np.argsort(-share):
        if share[k] < LEAST_SHARE:
            continue
        best = int(np.argmax(last["period_weight"][k]))
        z = last["rayleigh"][k, best]
        chance = len(period_s) * np.exp(-z)
        row = {
            "class": int(k),
            "size_usd": float(last["size_usd"][k]),
            "size_sd": float(last["size_sd"][k]),
            "cycle_s": float(period_s[best]) if chance < SIGNIFICANT else None,
            "rayleigh": float(z),
            "latency_s": float(last["latency_s"][k]),
            "stability": float(last["stability"][k]),
            "share": float(share[k]),
            "quotes_s": float(seen.quotes[:, k].sum() / time_s[-1]),
            "normal_usd": float(last["normal_usd"][k]),
            "toxicity_bp": float(last["toxicity_bp"][k]),
        }
        for name, rival in (("constant", _constant), ("recent", _recent)):
            row[f"skill_vs_{name}"] = {
                f"{h:g}": skill(
                    time_s, seen.quotes[:, k], seen.expected[:, k, i], h, start, rival, seed
                )
                for i, h in enumerate(horizons_s)
            }
        rows.append(row)
    return rows


Rival = Callable[[Callable[[Any], Any], np.ndarray, float], np.ndarray]
"""A rate from `(quotes so far as a function of time, moments, end of the earlier part)`."""


def skill(
    time_s: np.ndarray,
    quotes: np.ndarray,
    expected: np.ndarray,
    horizon_s: float,
    start: float,
    rival: Rival,
    seed: int,
) -> dict[str, Any]:
    """Of one class at one horizon: value, 90 % interval, number of moments.

    Args:
        time_s: of each row since the first.
        quotes: that each row brought.
        expected: forecast made at each row.
        horizon_s: of it.
        start: scored from this share of the time on.
        rival: what it is compared with.
        seed: of the bootstrap.
    """
    split_s, end_s = start * time_s[-1], time_s[-1]
    at = np.arange(split_s, end_s - horizon_s, GRID_S)
    so_far = lambda t: np.concatenate([[0.0], np.cumsum(quotes)])[
        np.searchsorted(time_s, t, side="right")
    ]
    n = so_far(at + horizon_s) - so_far(at)
    row = np.maximum(np.searchsorted(time_s, at, side="right") - 1, 0)
    base = rival(so_far, at, split_s) * horizon_s
    columns = np.stack([(n - expected[row]) ** 2, (n - base) ** 2], axis=1)
    if not len(at) or not columns[:, 1].sum():
        return {"value": None, "low": None, "high": None, "n": len(at)}
    drawn = resampled(at, columns, seed)
    low, high = (None, None)
    if drawn is not None:
        low, high = map(float, np.quantile(1 - drawn[:, 0] / drawn[:, 1], INTERVAL))
    value = float(1 - columns[:, 0].sum() / columns[:, 1].sum())
    return {"value": value, "low": low, "high": high, "n": len(at)}


def _constant(so_far: Any, at: np.ndarray, split_s: float) -> np.ndarray:
    """Rate over the earlier part."""
    first = min(WARM_S, split_s / 2)
    return np.full(len(at), (so_far(split_s) - so_far(first)) / (split_s - first))


def _recent(so_far: Any, at: np.ndarray, split_s: float) -> np.ndarray:
    """Rate over the last minute before the moment."""
    since = np.maximum(at - RECENT_S, 0)
    return (so_far(at) - so_far(since)) / (at - since)
