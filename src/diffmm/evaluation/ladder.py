"""The surface at orders that stand: their income against their Gamma exposure, and their edge.

    theta tau = sum n P_u (edge - gm - fee - carry - exit)      USD over one quote life
    G         = sum n 1/2 Gamma sigma^2 tau                     USD over one quote life

A ladder whose theta is below its Gamma earns less from flow than it loses to moves while it stands.
An order is priced at the surface's column nearest to it. Source: `quant-reference.md`, the Greeks
of the ladder.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from diffmm.pricing import Surface

from .costs import take


BP = 1e4
CHUNK = 2048
"""Decisions at a time, so that distances to all columns fit in memory."""


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Orders that stood after each decision, priced.

    **Attributes:**

    - `theta_usd`, `gamma_usd`: as above, `[decisions]`.
    - `usd`: notional that stands.
    """

    theta_usd: np.ndarray
    gamma_usd: np.ndarray
    usd: np.ndarray

    @classmethod
    def join(cls, parts: list["Ladder"]) -> "Ladder":
        """Decisions one after the other."""
        return cls(
            *(np.concatenate(x) for x in zip(*(vars(p).values() for p in parts), strict=True))
        )


def nearest(surface: Surface, ticks: npt.ArrayLike) -> np.ndarray:
    """Index of the valid column nearest to each order, `[decisions, side, orders]`.

    Args:
        surface: stacked, numpy.
        ticks: of the orders, `[decisions, side, orders]`.
    """
    ticks = np.asarray(ticks, np.int64)
    out = np.zeros(ticks.shape, np.int64)
    far = np.iinfo(np.int64).max
    for start in range(0, len(ticks), CHUNK):
        part = slice(start, start + CHUNK)
        columns = np.asarray(surface.ticks)[part].astype(np.int64)
        away = np.abs(ticks[part][..., None] - columns[:, :, None, :])
        valid = np.asarray(surface.is_valid)[part][:, :, None, :]
        out[part] = np.argmin(np.where(valid, away, far), axis=-1)
    return out


def priced(
    surface: Surface, ticks: npt.ArrayLike, lots: npt.ArrayLike, lot_usd: np.ndarray
) -> Ladder:
    """Theta and Gamma of stacked decisions.

    Args:
        surface: of the decisions.
        ticks: of the orders that stand after each, `[decisions, side, orders]`.
        lots: their sizes, zero for none.
        lot_usd: by decision.
    """
    column = nearest(surface, ticks)
    at = lambda x: np.take_along_axis(np.asarray(x, np.float64), column, axis=2)
    wide = lambda x: np.asarray(x, np.float64)[:, None, None]
    usd = np.asarray(lots) * wide(lot_usd)
    is_priced = np.isfinite(at(surface.fill)) & wide(surface.has_book).astype(bool)
    usd = np.where(is_priced, usd, 0.0)
    kept = at(surface.edge_bp) - at(surface.gm_bp) - at(surface.carry_bp)
    kept = kept - wide(surface.fee_bp) - wide(surface.exit_bp)
    total = lambda x: np.where(usd > 0, usd * x, 0.0).sum(axis=(1, 2)) / BP
    return Ladder(total(at(surface.fill) * kept), total(at(surface.gamma_bp)), usd.sum(axis=(1, 2)))


def edge_given_fill_bp(surface: Surface, column: np.ndarray) -> np.ndarray:
    """`(P_u (edge - gm) - option) / (P_u + P_o)` at columns `[decisions, side, orders]`."""
    at = lambda x: np.take_along_axis(np.asarray(x, np.float64), column, axis=2)
    u, o = at(surface.fill), at(surface.sniped)
    income = u * (at(surface.edge_bp) - at(surface.gm_bp)) - at(surface.option_bp)
    return income / np.maximum(u + o, np.finfo(float).tiny)


def below_gamma_share(ladder: Ladder, weight_s: np.ndarray) -> float | None:
    """Share of the time with orders in which theta is below Gamma; `None` without any."""
    quoted = ladder.usd > 0
    total = float(weight_s[quoted].sum())
    below = quoted & (ladder.theta_usd < ladder.gamma_usd)
    return float(weight_s[below].sum()) / total if total > 0 else None


def some(surface: Surface, where: np.ndarray) -> Surface:
    """The surface at some decisions, in any order."""
    return take(surface, where)
