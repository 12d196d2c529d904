"""The bars that a validation of pricing is judged by, fixed beforehand, and their verdicts.

A verdict is about an interval: it passes where the whole interval is inside the bar, fails where it
is outside or leaves out a number that it must contain, and is undecided else.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .calibration import Interval, within


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a figure's interval must lie in.

    **Attributes:**

    - `of`, `figure`: where it is in the scores: `p_fill`, and `slope` (whose ends are `low` and
      `high`) or another name (whose ends are `NAME_low` and `NAME_high`).
    - `low`, `high`: the bar; `None` for no end.
    - `contains`: a number that the interval must hold.
    """

    of: str
    figure: str
    low: float | None
    high: float | None
    contains: float | None = None

    def verdict(self, scores: Mapping[str, Any]) -> str:
        """On one object of scores."""
        found = scores[self.of]
        ends = ("low", "high") if self.figure == "slope" else self._ends
        interval = Interval(found[self.figure], *(found[x] for x in ends))
        low = float("-inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        return within(interval, low, high, contains=self.contains)

    @property
    def _ends(self) -> tuple[str, str]:
        return f"{self.figure}_low", f"{self.figure}_high"

    @property
    def name(self) -> str:
        """How the verdict is called."""
        return f"{self.of}.{self.figure}"


RECORDED = (
    Bar("p_fill", "slope", 0.85, 1.15, 1.0),
    Bar("p_fill", "ece", None, 0.02),
    Bar("p_fill", "brier_skill", 0.0, None),
    Bar("p_fill", "level", 0.8, 1.25),
    Bar("edge_given_fill", "slope", 0.5, None, 1.0),
    Bar("edge_given_fill", "bias", -0.5, 0.5),
)
"""On a recording. The edge's two were set for a calm coin; elsewhere they are given, not asked."""
SYNTHETIC = (
    Bar("p_fill", "slope", 0.95, 1.05),
    Bar("edge_given_fill", "slope", 0.9, 1.1),
)
"""In a generative world, where data are unlimited and the truth is known."""


def verdicts(
    bars: tuple[Bar, ...],
    headline: Mapping[str, Any],
    by_rule: Mapping[str, Mapping[str, Mapping[str, Any]]],
    by_coin: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Every bar with its verdicts: the headline rule's, each rule's and split's, and each coin's.

    Args:
        bars: what is asked.
        headline: scores under the rule that is named first.
        by_rule: scores by rule and split, markets pooled.
        by_coin: scores of each market under the headline rule.
    """
    return {
        bar.name: {
            "bar": [bar.low, bar.high],
            "contains": bar.contains,
            "verdict": bar.verdict(headline),
            "by_rule": {
                rule: {split: bar.verdict(x) for split, x in splits.items()}
                for rule, splits in by_rule.items()
            },
            "coins": {coin: bar.verdict(x) for coin, x in by_coin.items()},
        }
        for bar in bars
    }
