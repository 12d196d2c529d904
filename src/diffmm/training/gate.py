"""Whether a checkpoint may trade: what its replays must show beside those of the default.

Both run in closed loop with hard fills on the same worlds and seeds, so they are compared pair by
pair. With `d` the difference of PnL per hour by seed, the candidate is refused when

    mean(d) < -max(t min(se(d), se(default)), tolerance |mean(default)|)

`t` the one-sided 95 % point of Student's law. The default's own standard error caps the noise that
is allowed, so a candidate cannot buy room with variance. It refuses what is worse; to show that
something is better takes more paths than a gate has. Source: ours.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782)
"""One-sided 95 % points by degrees of freedom, from 1; later ones take the last."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run, and where the limits are.

    **Attributes:**

    - `worlds`: each is judged by itself. In a thin book whoever quotes closer earns more, in a
      thick one with informed takers he loses; one alone would let half of all faults pass.
    - `seeds`: how many paths of each; the seeds are 0, 1, ...
    - `duration_s`: of each path.
    - `least_two_sided`: share of decisions that quote both sides, in every path.
    - `tolerance`: share of the default's mean PnL that is no difference.
    """

    worlds: tuple[str, ...] = ("thin", "thick")
    seeds: int = 6
    duration_s: float = 900.0
    least_two_sided: float = 0.9
    tolerance: float = 0.01


@dataclasses.dataclass(frozen=True)
class Figures:
    """One path of one policy, as the summary of a replay has them."""

    seed: int
    decisions: int
    fills: int
    two_sided_fraction: float | None
    gamma_violations: int
    nonfinite: int
    pnl_usd: float
    hours: float

    @property
    def pnl_usd_per_hour(self) -> float:
        """PnL by time."""
        return self.pnl_usd / self.hours


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found in one world; `reasons` is empty where it passed.

    **Attributes:**

    - `pnl_usd_per_hour`, `default_usd_per_hour`: means over seeds.
    - `difference_usd_per_hour`, `difference_se`, `default_se`: of the pairs, and standard errors.
    - `noise_usd_per_hour`: how much less than the default is still no difference.
    """

    reasons: tuple[str, ...]
    pnl_usd_per_hour: float
    default_usd_per_hour: float
    difference_usd_per_hour: float
    difference_se: float
    default_se: float
    noise_usd_per_hour: float

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {"passed": self.passed, **dataclasses.asdict(self), "reasons": list(self.reasons)}


def judge(
    candidate: Sequence[Figures], default: Sequence[Figures], config: Config = Config()
) -> Verdict:
    """Compare two policies path by path.

    Args:
        candidate: one entry a seed.
        default: the same seeds.
        config: limits.

    Raises:
        ValueError: when the seeds are not the same, or fewer than two.
    """
    if [x.seed for x in candidate] != [x.seed for x in default] or len(candidate) < 2:
        raise ValueError(
            f"found {len(candidate)} and {len(default)} paths, expected the same two or more seeds"
        )
    ours = np.array([x.pnl_usd_per_hour for x in candidate], np.float64)
    base = np.array([x.pnl_usd_per_hour for x in default], np.float64)
    d, n = ours - base, len(base)
    error = lambda x: float(x.std(ddof=1)) / math.sqrt(n)
    t = T95[min(n - 1, len(T95)) - 1]
    noise = max(t * min(error(d), error(base)), config.tolerance * abs(float(base.mean())))
    reasons = [*_broken(candidate, config)]
    # A number that is not finite fails, whichever way it is compared.
    if not float(d.mean()) >= -noise:
        reasons.append(
            f"PnL {ours.mean():+.2f} USD an hour against the default's {base.mean():+.2f}: "
            f"{d.mean():+.2f} is beyond the noise of {noise:.2f}"
        )
    return Verdict(
        tuple(reasons),
        float(ours.mean()),
        float(base.mean()),
        float(d.mean()),
        error(d),
        error(base),
        noise,
    )


def _broken(paths: Sequence[Figures], config: Config) -> list[str]:
    """What no comparison excuses."""
    found = []
    for x in paths:
        if not x.decisions:
            found.append(f"seed {x.seed}: no decision was taken")
        if x.nonfinite or not math.isfinite(x.pnl_usd):
            found.append(f"seed {x.seed}: {x.nonfinite} steps were not finite")
        if x.gamma_violations:
            found.append(f"seed {x.seed}: {x.gamma_violations} decisions over the Gamma limit")
        share = x.two_sided_fraction or 0.0
        if not share >= config.least_two_sided:
            found.append(
                f"seed {x.seed}: both sides quoted in {share:.3f} of the decisions, "
                f"expected {config.least_two_sided} or more"
            )
    return found
