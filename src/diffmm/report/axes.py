"""Scales, round ticks and their labels."""

import dataclasses
import math

import numpy as np


STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Mantissas at which a person expects a tick."""
TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
DAY_S = 86_400
MINUTE_S, HOUR_S = 60, 3600


@dataclasses.dataclass(frozen=True)
class Scale:
    """An affine map from `[low, high]` in data units to `[start, end]` in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: np.ndarray) -> np.ndarray:
        """Pixels of data values."""
        return self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low)


def value_range(
    parts: list[np.ndarray], clip: float = 0.0, margin: float = 0.06
) -> tuple[float, float] | None:
    """Range that shows the finite values, or None where there is none.

    Args:
        parts: arrays of any shape.
        clip: share of the values at each end that may fall outside.
        margin: share of the range added at each end.
    """
    finite = [np.asarray(p, float).ravel() for p in parts]
    finite = [p[np.isfinite(p)] for p in finite]
    finite = [p for p in finite if p.size]
    if not finite:
        return None
    low = min(float(np.quantile(p, clip)) for p in finite)
    high = max(float(np.quantile(p, 1 - clip)) for p in finite)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        pad = abs(low) * 1e-3 or 1.0
        return low - pad, high + pad
    pad = margin * (high - low)
    return low - pad, high + pad


def ticks(low: float, high: float, about: int = 5) -> np.ndarray:
    """Round values inside the range, close to `about` of them."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next((s for s in STEPS if s * power >= raw * (1 - 1e-9)), STEPS[-1])
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return np.arange(first, last + 1) * step


def time_ticks(low_s: float, high_s: float, about: int = 8) -> np.ndarray:
    """Round times inside the range."""
    raw = (high_s - low_s) / max(about, 1)
    if raw < TIME_STEPS_S[0]:
        return ticks(low_s, high_s, about)
    step = next((s for s in TIME_STEPS_S if s >= raw), DAY_S * math.ceil(raw / DAY_S))
    return np.arange(math.ceil(low_s / step), math.floor(high_s / step) + 1) * float(step)


def labels(values: np.ndarray) -> list[str]:
    """Labels with just the decimals that tell the ticks apart."""
    if len(values) == 0:
        return []
    step = float(np.min(np.diff(values))) if len(values) > 1 else abs(float(values[0])) or 1.0
    decimals = next((d for d in range(12) if abs(round(step, d) - step) < 1e-6 * step), 12)
    return [f"{v + 0.0:,.{decimals}f}" for v in np.round(values, decimals)]


def time_labels(values_s: np.ndarray) -> list[str]:
    """`m:ss`, or `h:mm:ss` from an hour on; with decimals under a second."""
    if len(values_s) > 1 and values_s[1] - values_s[0] < 1:
        return [f"{label} s" for label in labels(values_s)]
    return [clock(float(v)) for v in values_s]


def clock(seconds: float) -> str:
    """A duration as a clock shows it."""
    whole = round(seconds)
    hours, rest = divmod(whole, HOUR_S)
    minutes, left = divmod(rest, MINUTE_S)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
