"""What bound the sizes of each side at each decision, in one word."""

import enum

import numpy as np

from diffmm import evaluation
from diffmm.engine.graph import Quotes
from diffmm.evaluation import sides
from diffmm.market import Event, SIDE_SIGN


NEAR = 0.99
"""Share of a limit from which it is said to bind."""


class Bound(enum.IntEnum):
    """What held the sizes of a side."""

    FREE = 0
    GAMMA = 1
    ROOM = 2
    KELLY = 3
    MESSAGE = 4
    ROUNDING = 5
    PRICE = 6
    INVALID = 7


NAMES = {
    Bound.FREE: "none (own risk and impact)",
    Bound.GAMMA: "gamma limit",
    Bound.ROOM: "inventory room",
    Bound.KELLY: "kelly ceiling",
    Bound.MESSAGE: "message price",
    Bound.ROUNDING: "below minimum notional",
    Bound.PRICE: "E[PnL] <= 0",
    Bound.INVALID: "step not valid",
}
REASON = {
    "gamma_limit": Bound.GAMMA,
    "inventory_room": Bound.ROOM,
    "kelly": Bound.KELLY,
    "message": Bound.MESSAGE,
    "min_notional": Bound.ROUNDING,
    "health": Bound.INVALID,
}
"""The Evaluator's names of what keeps a side out; its other names are costs of the surface."""


def bounds(event: Event, quotes: Quotes) -> np.ndarray:
    """Codes of `Bound`, `[decisions, side]`.

    A side with targets is bound by the limit that it fills; one without by what kept it out, as the
    Evaluator has it.

    Args:
        event: the waking rows.
        quotes: the decisions, stacked, as numpy.
    """
    sizes, risk = quotes.allocation, quotes.risk
    total = np.asarray(sizes.size_usd, float).sum(axis=2)
    limit = np.asarray(event.account.gamma_limit_usd, float)
    at_gamma = np.broadcast_to((sizes.gamma_usd >= NEAR * limit)[:, None], total.shape)
    wide, sign = lambda x: np.asarray(x)[:, None], np.array(SIDE_SIGN)
    in_room = wide(risk.room_usd) + sign * wide(risk.position_usd)
    cap = np.minimum(in_room, wide(risk.kelly_usd) + sign * wide(risk.exposure_usd))
    at_cap = total >= NEAR * np.maximum(cap, 0.0)
    quoted = (np.asarray(quotes.targets.lots) > 0).any(axis=2)
    why = np.array([REASON.get(name, Bound.PRICE) for name in sides.REASONS], int)
    names = sides.reasons(event, risk, quotes.surface, sizes, quotes.targets)
    return np.select(
        [~quoted, at_cap & sizes.cap_is_kelly, at_cap, at_gamma],
        [why[names], int(Bound.KELLY), int(Bound.ROOM), int(Bound.GAMMA)],
        int(Bound.FREE),
    )


def missing(event: Event, quotes: Quotes) -> dict[str, dict[str, int]]:
    """By side, how often each reason kept it out."""
    found = evaluation.two_sided(
        event, quotes.risk, quotes.surface, quotes.allocation, quotes.targets
    )
    return found.missing


def cost_terms(quotes: Quotes, k: int) -> dict[str, np.ndarray]:
    """The costs of a filled unit in bp at decision `k`, `[side, columns]` by name.

    The option's value stands outside the fill probability, so a filled unit bears option / P, and
    what is paid for being sniped likewise.
    """
    s = quotes.surface
    like = np.zeros_like(np.asarray(s.edge_bp[k], float))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        option = np.asarray(s.option_bp[k], float) / np.asarray(s.fill[k], float)
        paid = 1 + np.asarray(s.sniped[k], float) / np.asarray(s.fill[k], float)
    return {
        "gm": np.asarray(s.gm_bp[k], float),
        "option": option,
        "exit": paid * float(s.exit_bp[k]),
        "inventory": np.asarray(s.inventory_bp[k], float),
        "impact": np.asarray(s.impact_bp[k], float),
        "carry": paid * np.asarray(s.carry_bp[k], float),
        "fee": paid * float(s.fee_bp[k]),
        "offset": like + float(s.offset_bp[k]),
    }
