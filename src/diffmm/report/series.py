"""What the page draws, made from a tape and the record of its run, on the host in float64."""

import dataclasses

import numpy as np

from diffmm import evaluation
from diffmm.engine.loop import Record
from diffmm.market import ASK, BID, Tape

from . import thin


BP = 1e4
ADVERSE_S = 5.0
"""Age up to which a move of the mid against a fill is adverse selection, and inventory after it."""
NS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Decisions:
    """One entry a decision; prices in bp, signed from the mid where so named.

    **Attributes:**

    - `t_s`: receive time since the first row.
    - `has_book`: whether there was a two-sided book and a belief; else the rest is NaN.
    - `price`: mid in the quote currency.
    - `half_spread_bp`: of the market, our orders excluded.
    - `v_bp`, `v_sd_bp`: posterior mean of V from the mid, and its s.d.
    - `sigma_bp`: volatility, bp per sqrt(s).
    - `modes`: probabilities `[n, modes]`.
    - `target_bp`, `target_usd`: our targets `[n, side, slots]`; no size is NaN and 0.
    """

    t_s: np.ndarray
    has_book: np.ndarray
    price: np.ndarray
    half_spread_bp: np.ndarray
    v_bp: np.ndarray
    v_sd_bp: np.ndarray
    sigma_bp: np.ndarray
    modes: np.ndarray
    target_bp: np.ndarray
    target_usd: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ledger:
    """One entry a row: inventory and PnL parts, rebuilt from the fills in float64.

    **Attributes:**

    - `t_s`: receive time since the first row.
    - `position_usd`: at the mid, fills of the row included.
    - `parts_usd`: cumulative, by the names of `evaluation.Ledger`.
    - `fill_t_s`, `fill_price`, `fill_usd`, `fill_edge_bp`: by side, one entry a fill; the edge is
      the distance from the mid at that moment.
    """

    t_s: np.ndarray
    position_usd: np.ndarray
    parts_usd: dict[str, np.ndarray]
    fill_t_s: tuple[np.ndarray, np.ndarray]
    fill_price: tuple[np.ndarray, np.ndarray]
    fill_usd: tuple[np.ndarray, np.ndarray]
    fill_edge_bp: tuple[np.ndarray, np.ndarray]


def decisions(tape: Tape, record: Record) -> Decisions:
    """Belief and targets at every decision of the record."""
    ends = _ends(tape, record)
    n = len(ends)
    event = tape.layout.unpack(tape.rows[ends])
    seen, belief = record.seen.features, record.seen.belief
    has = np.asarray(record.quotes.surface.has_book)[:n]
    known = lambda x: np.where(has, np.asarray(x, float)[:n], np.nan)
    mid = known(seen.mid_bp)
    anchor = evaluation.series(tape).anchor
    targets = record.quotes.targets
    lots = np.asarray(targets.lots)[:n]
    lot_usd = np.asarray(event.rules.lot_usd, float)[:, None, None]
    grid = np.expm1(np.asarray(event.rules.tick_bp, float) / BP)[:, None, None]
    target = BP * np.log1p(np.asarray(targets.ticks, float)[:n] * grid) - mid[:, None, None]
    sigma2 = np.exp(np.asarray(belief.log_mode, float)) * np.asarray(belief.mode_sigma_bp) ** 2
    modes = np.where(has[:, None], np.exp(np.asarray(belief.log_mode, float)[:n]), np.nan)
    with np.errstate(invalid="ignore"):
        return Decisions(
            t_s=_clock(tape)[ends],
            has_book=has,
            price=anchor[ends] / 10.0**tape.instrument.price_decimals * np.exp(mid / BP),
            half_spread_bp=known(seen.half_spread_bp),
            v_bp=known(np.asarray(belief.mean)[:, 0]) - mid,
            v_sd_bp=np.sqrt(known(np.asarray(belief.cov)[:, 0, 0])),
            sigma_bp=np.sqrt(known(sigma2.sum(axis=1))),
            modes=modes,
            target_bp=np.where(lots > 0, target, np.nan),
            target_usd=lots * lot_usd,
        )


def ledger(tape: Tape, record: Record) -> Ledger:
    """Inventory and PnL parts along the rows: `evaluation.Ledger`'s definition, as running sums.

    With Q the position and y what was filled in the last five seconds, the parts are sums of
    `s (p - m) n` at fills, `y dm`, `(Q - y) dm`, funding at the settlements, and fees. A fill comes
    before the mid of its own row.
    """
    n = len(_ends(tape, record))
    prices = evaluation.series(tape)
    index = tape.frame_index()[0][:n]
    ours = evaluation.fills(prices, index, np.asarray(record.lots), np.asarray(record.lots_ticks))
    rows = int(index[-1, -1]) + 1 if n else 0
    t_s, at = _clock(tape)[:rows], np.array([f.row for f in ours], int)
    side = np.array([f.side for f in ours], int)
    size = np.array([f.size for f in ours], float) / 10.0**tape.instrument.size_decimals
    unit = 10.0**tape.instrument.price_decimals
    price = np.array([f.value / f.size for f in ours], float) / unit
    sign = np.where(side == BID, 1.0, -1.0)
    both = (prices.bid + prices.ask)[:rows] / 2 / unit
    mid = thin.fill_forward(np.where(prices.has_book[:rows], both, np.nan))
    met = mid[np.maximum(at - 1, 0)]
    fee_bp = np.asarray(tape.layout.unpack(tape.rows[:rows]).account.maker_fee_bp, float)
    along = lambda x: np.bincount(at, x, minlength=rows)
    held = np.cumsum(along(sign * size))
    # Fills older than five seconds at a row's own time.
    old = np.concatenate([[0.0], held])[np.searchsorted(t_s, t_s - ADVERSE_S, "left")]
    move = np.nan_to_num(np.diff(mid, prepend=mid[:1]))
    paid = np.zeros(rows)
    for time_ns, rate in prices.settlements:
        row = int(np.searchsorted(t_s, time_ns / NS, "left"))
        if 0 < row < rows:
            paid[row] -= float(rate) * np.nan_to_num(held[row - 1] * mid[row - 1])
    parts = {
        "spread": along(sign * size * (met - price)),
        "adverse": (held - old) * move,
        "inventory": old * move,
        "funding": paid,
        "fees": -along(size * price) * fee_bp / BP,
    }
    by_side = lambda x: tuple(x[side == k] for k in (BID, ASK))
    return Ledger(
        t_s=t_s,
        position_usd=held * np.nan_to_num(mid),
        parts_usd={name: np.cumsum(v) for name, v in parts.items()},
        fill_t_s=by_side(t_s[at]),
        fill_price=by_side(price),
        fill_usd=by_side(size * price),
        fill_edge_bp=by_side(BP * sign * (met - price) / met),
    )


def _ends(tape: Tape, record: Record) -> np.ndarray:
    """Row of each decision of the record."""
    wake = tape.layout.unpack(tape.rows).wake
    return np.flatnonzero(wake)[: len(np.asarray(record.lots))]


def _clock(tape: Tape) -> np.ndarray:
    """Seconds since the first row."""
    dt = np.asarray(tape.layout.unpack(tape.rows).dt_s, float)
    return np.cumsum(dt) - dt[:1].sum()
