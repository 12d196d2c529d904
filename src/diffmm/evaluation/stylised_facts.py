"""What a market is like, in the figures by which markets are compared: for a world beside a tape.

Spread and depth at the touch weighted by time; the volatility signature; how signs of trades depend
on the signs before; how far the mid moves after a trade and towards the thinner side; what joining
the touch earned. A trade is all prints of one time and side, priced at its first. Source: the list
of Cont, Quantitative Finance 1 (2001), and ours.
"""

import dataclasses
from typing import Any

import numpy as np

from diffmm.market import Kind, Tape

from . import forecast
from .markouts import INTERVAL


MINUTE_S = 60.0


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the figures are taken.

    **Attributes:**

    - `signature_s`: horizons of the volatility signature.
    - `lags`: trades between two signs.
    - `after_s`: horizons of impact and markout.
    - `imbalance_s`: horizon of the answer to the queues.
    - `grid_s`: distance of the moments that are not trades.
    - `warm_s`: start of a tape that is left out.
    """

    signature_s: tuple[float, ...] = (1.0, 5.0, 30.0, 60.0)
    lags: tuple[int, ...] = (1, 2, 5, 10, 20)
    after_s: tuple[float, ...] = (1.0, 5.0, 30.0)
    imbalance_s: float = 5.0
    grid_s: float = 1.0
    warm_s: float = 5.0


@dataclasses.dataclass(frozen=True)
class Trades:
    """Takers in order.

    **Attributes:**

    - `time_s`: since the first row.
    - `sign`: +1 for a buyer.
    - `price_bp`: of the first print, anchor moves taken out.
    - `before_bp`: mid just before.
    """

    time_s: np.ndarray
    sign: np.ndarray
    price_bp: np.ndarray
    before_bp: np.ndarray


def facts(tape: Tape, config: Config, seed: int) -> dict[str, Any]:
    """Figure by name; where intervals are given they are of 90 %, over blocks of 60 s.

    Args:
        tape: one market; its prints are those that happened.
        config: horizons and lags.
        seed: of the bootstrap.

    Raises:
        ValueError: when the tape is no longer than the warm start and the longest horizon.
    """
    known = forecast.path(tape)
    longest = max(*config.signature_s, *config.after_s, config.imbalance_s)
    end_s = known.time_s[-1]
    if end_s <= config.warm_s + longest:
        raise ValueError(
            f"{end_s:.0f} s of market, expected more than {config.warm_s + longest:.0f} s; "
            "give a longer tape or --for"
        )
    done = trades(tape, known)
    kept = (done.time_s >= config.warm_s) & (done.time_s + max(config.after_s) <= end_s)
    some = Trades(*(getattr(done, f.name)[kept] for f in dataclasses.fields(Trades)))
    later = known.mid_bp[known.row_at(some.time_s[:, None] + np.array(config.after_s))]
    moved = some.sign[:, None] * (later - some.before_bp[:, None])
    earned = some.sign[:, None] * (some.price_bp[:, None] - later)
    by = lambda values: {
        f"{h:g}": mean(some.time_s, values[:, k], seed) for k, h in enumerate(config.after_s)
    }
    return {
        "minutes": float(end_s / MINUTE_S),
        **_book(tape, known, config),
        "trades_per_minute": float(len(done.time_s) / (end_s / MINUTE_S)),
        "volatility_bp": _signature(known, config),
        "flow_autocorrelation": {str(k): _correlation(some.sign, k) for k in config.lags},
        "impact_bp": by(moved),
        "touch_markout_bp": by(earned),
        "imbalance_response": _imbalance(tape, known, config, seed),
    }


def trades(tape: Tape, known: forecast.Path) -> Trades:
    """Prints of one time and side are one taker."""
    event = tape.events()
    usd = np.asarray(event.trade.usd)
    row = np.flatnonzero((np.asarray(event.kind) == int(Kind.TRADE)) & (usd > 0))
    time_s, sign = known.time_s[row], np.asarray(event.trade.sign, np.float64)[row]
    again = (np.diff(time_s, prepend=-np.inf) == 0) & (np.diff(sign, prepend=0.0) == 0)
    row, time_s, sign = row[~again], time_s[~again], sign[~again]
    shift = np.cumsum(np.asarray(event.shift_bp, np.float64))[row]
    price = np.asarray(event.trade.price_bp, np.float64)[row] - shift
    before = np.maximum(np.searchsorted(known.time_s, time_s, side="left") - 1, 0)
    return Trades(time_s, sign, price, known.mid_bp[before])


def mean(time_s: np.ndarray, values: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean with its interval; `None` where there is nothing to say."""
    if not len(values):
        return {"value": None, "low": None, "high": None, "n": 0}
    drawn = forecast.resampled(time_s, np.stack([values, np.ones_like(values)], axis=1), seed)
    low, high = None, None
    if drawn is not None and (drawn[:, 1] > 0).all():
        low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], INTERVAL))
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}


def _book(tape: Tape, known: forecast.Path, config: Config) -> dict[str, Any]:
    """Spread, and notional at the touch of a side, means over time."""
    usd = np.asarray(tape.events().book.usd, np.float64)[:, :, 0].mean(axis=1)
    ok = known.has_book[:-1] & (known.time_s[:-1] >= config.warm_s)
    held = np.where(ok, np.diff(known.time_s), 0.0)
    over = lambda x: float(np.sum(x[:-1] * held) / held.sum())
    return {"spread_bp": over(2 * known.half_spread_bp), "touch_usd": over(usd)}


def _signature(known: forecast.Path, config: Config) -> dict[str, float]:
    """Root mean square of the mid's change, per root second, by horizon."""
    out = {}
    for h in config.signature_s:
        at = np.arange(config.warm_s, known.time_s[-1], h)
        change = np.diff(known.mid_bp[known.row_at(at)])
        out[f"{h:g}"] = float(np.sqrt(np.mean(change**2) / h))
    return out


def _correlation(sign: np.ndarray, lag: int) -> float | None:
    if len(sign) <= lag + 1 or not np.std(sign):
        return None
    centred = sign - sign.mean()
    return float(np.mean(centred[lag:] * centred[:-lag]) / np.mean(centred**2))


def _imbalance(tape: Tape, known: forecast.Path, config: Config, seed: int) -> dict[str, Any]:
    """Change of the mid for a unit of the log queue ratio, and their correlation."""
    at = np.arange(config.warm_s, known.time_s[-1] - config.imbalance_s, config.grid_s)
    row = known.row_at(at)
    usd = np.asarray(tape.events().book.usd, np.float64)[row, :, 0]
    ok = known.has_book[row] & (usd > 0).all(axis=1)
    at, row, usd = at[ok], row[ok], usd[ok]
    x = np.log(usd[:, 0] / usd[:, 1])
    y = known.mid_bp[known.row_at(at + config.imbalance_s)] - known.mid_bp[row]
    if not len(x) or not np.std(x) or not np.std(y):
        return {"slope_bp": None, "low": None, "high": None, "correlation": None, "n": len(x)}
    x, y = x - x.mean(), y - y.mean()
    drawn = forecast.resampled(at, np.stack([x * y, x * x], axis=1), seed)
    low, high = None, None
    if drawn is not None:
        low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], INTERVAL))
    return {
        "slope_bp": float(np.sum(x * y) / np.sum(x * x)),
        "low": low,
        "high": high,
        "correlation": float(np.corrcoef(x, y)[0, 1]),
        "n": len(x),
    }
