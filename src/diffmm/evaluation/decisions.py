"""What must hold for every decision: its digest, its health, and the Gamma limit, recomputed."""

import hashlib
import math

import numpy as np
import numpy.typing as npt

from diffmm.belief import Belief, V
from diffmm.core import Health
from diffmm.core.health import FATAL
from diffmm.execution.audit import gamma_exposure_usd
from diffmm.market import Event
from diffmm.pricing import Surface

from .costs import take


BP = 1e4


def quotes_digest(ticks: npt.ArrayLike, lots: npt.ArrayLike) -> str:
    """SHA-256 over every decision's targets, its ticks then its lots as little-endian int32.

    A slot without lots has no price: its ticks count as zero.
    """
    lots = np.asarray(lots)
    both = np.stack([np.where(lots > 0, np.asarray(ticks), 0), lots], axis=1)
    return hashlib.sha256(np.ascontiguousarray(both, "<i4").tobytes()).hexdigest()


def health_counts(health: npt.ArrayLike) -> dict[str, int]:
    """Decisions by Health bit, zeros left out."""
    health = np.asarray(health)
    found = {bit.name: int(((health & int(bit)) != 0).sum()) for bit in Health if bit}
    return {str(name): n for name, n in found.items() if n}


def nonfinite(health: npt.ArrayLike) -> int:
    """Decisions that were discarded because a number was not finite."""
    return int(((np.asarray(health) & int(FATAL)) != 0).sum())


def gamma_violations(
    standing_ticks: npt.ArrayLike,
    standing_lots: npt.ArrayLike,
    anchor: np.ndarray,
    tick: np.ndarray,
    event: Event,
    belief: Belief,
    surface: Surface,
) -> int:
    """Decisions after which our orders exceed the Gamma limit by more than one lot's exposure.

    Args:
        standing_ticks: orders after each decision `[frames, side, slots]`, kept and placed.
        standing_lots: their sizes, zero for none.
        anchor: price from which ticks are counted, by decision.
        tick: price step, by decision.
        event: the rows of the decisions.
        belief: at the decisions.
        surface: gives the quote life.
    """
    lots = np.asarray(standing_lots)
    used = np.flatnonzero((lots > 0).any(axis=(1, 2)) & np.isfinite(belief.mean).all(axis=1))
    belief, event, surface = take(belief, used), take(event, used), take(surface, used)
    ratio = np.asarray(tick, np.float64)[used] / np.asarray(anchor, np.float64)[used]
    price_bp = BP * np.log1p(np.asarray(standing_ticks)[used] * ratio[:, None, None])
    lot_usd = np.asarray(event.rules.lot_usd, np.float64)
    usd = lots[used] * lot_usd[:, None, None]
    limit = np.asarray(event.account.gamma_limit_usd, np.float64)
    life = np.asarray(surface.tau_s, np.float64) + np.asarray(event.age_s)
    fair = np.asarray(belief.mean, np.float64)[:, V]
    sigma = np.asarray(belief.mode_sigma_bp, np.float64)
    weight = np.exp(np.asarray(belief.log_mode, np.float64))
    over = 0
    for i in range(len(used)):
        some = usd[i] > 0
        about = fair[i], sigma[i], weight[i], float(life[i])
        total = gamma_exposure_usd(zip(price_bp[i][some], usd[i][some], strict=True), *about)
        one_lot = gamma_exposure_usd([(fair[i], lot_usd[i])], *about)
        over += not math.isfinite(total) or total > limit[i] + one_lot
    return int(over)
