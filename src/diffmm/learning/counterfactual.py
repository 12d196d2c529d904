"""K parameter rows as copies of the engine on one market, and the weights they earn.

Every row has its own State and its own hard fills on the same events. Rounds last 60 s. A round's
PnL is the change of cash plus inventory, both ends marked at V one markout horizon later, so it is
known `delay` rounds after it ends. Its loss is `1/2 - clip(PnL, -c, c) / 2c`, `c` a quantile of
all rows' PnL up to that round; the regret bound is for these clipped, simulated losses.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.evaluation import Series, series
from diffmm.market import Tape
from diffmm.simulation import hard_fills

from . import hedge


BP = 1e4
NS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Config:
    """Choices of the learner.

    **Attributes:**

    - `offsets_bp`: what each row asks beyond its price.
    - `round_s`: length of a round.
    - `markout_s`: how long after a round its inventory is marked.
    - `clip_quantile`: of absolute round PnL, the largest that counts in full.
    - `share`: fixed share.
    - `seed`: of the draws.
    """

    offsets_bp: tuple[float, ...] = (-2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0)
    round_s: int = 60
    markout_s: int = 10
    clip_quantile: float = 0.95
    share: float = 0.0
    seed: int = 0

    @property
    def delay(self) -> int:
        """Rounds that a mark comes too late for."""
        return math.ceil(self.markout_s / self.round_s)


@dataclasses.dataclass(frozen=True)
class Learned:
    """What the learner did over a tape; every array has one row a round.

    **Attributes:**

    - `offsets_bp`: of the rows.
    - `pnl_usd`: round PnL `[rounds, rows]`, unclipped.
    - `losses`: in [0, 1].
    - `weights`: with which each round was played.
    - `played`: the row drawn.
    - `expected_loss`: of the draws, summed.
    - `best`: the row with the least loss, and `best_loss` its sum.
    - `bound`: on `expected_loss - best_loss`.
    """

    offsets_bp: tuple[float, ...]
    pnl_usd: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    played: np.ndarray
    expected_loss: float
    best: int
    best_loss: float
    bound: float

    @property
    def regret(self) -> float:
        """Expected loss above that of the best fixed row."""
        return self.expected_loss - self.best_loss

    @property
    def played_pnl_usd(self) -> float:
        """Sum of the round PnL of the rows that were drawn."""
        return float(self.pnl_usd[np.arange(len(self.played)), self.played].sum())


def rows(params: graph.Params, offsets_bp: tuple[float, ...]) -> graph.Params:
    """A batch of parameter rows that differ by an additive offset."""
    k = len(offsets_bp)
    batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (k, *x.shape)), params)
    offset = batch.pricing.offset_bp
    new = offset + jnp.asarray(offsets_bp, offset.dtype)
    return eqx.tree_at(lambda p: p.pricing.offset_bp, batch, new)


def run(
    tape: Tape,
    params: graph.Params,
    rule: hard_fills.Params,
    loop_config: loop.Config,
    fee_bp: float,
    config: Config = Config(),
    frames: int | None = None,
) -> Learned:
    """Replay every row, then learn round by round.

    Args:
        tape: the market.
        params: the row whose offsets are varied.
        rule: of the fills.
        loop_config: static choices of the replays.
        fee_bp: maker fee.
        config: of the learner.
        frames: how many of the tape's frames; all where not given.
    """
    trades = loop.counterfactual(
        rows(params, config.offsets_bp), rule, tape.frames(frames), config=loop_config
    )
    pnl = round_pnl_usd(tape, jax.tree.map(np.asarray, trades), fee_bp, config)
    return learn(pnl, config)


def learn(pnl_usd: np.ndarray, config: Config) -> Learned:
    """Weights over rounds from the rows' round PnL `[rounds, rows]`."""
    n, k = pnl_usd.shape
    losses = clipped_losses(pnl_usd, config)
    static = hedge.Config(k, config.delay, n)
    params = eqx.tree_at(lambda p: p.share, defaults(hedge.Params), jnp.float32(config.share))
    stage = hedge.build(static)
    _, plays = jax.lax.scan(
        lambda state, x: stage.update(params, state, x),
        stage.init(params),
        jnp.asarray(losses, params.share.dtype),
    )
    keys = jax.random.split(jax.random.key(config.seed), n)
    weights = np.exp(np.asarray(plays.log_weights, np.float64))
    total = losses.sum(axis=0)
    return Learned(
        config.offsets_bp,
        pnl_usd,
        losses,
        weights,
        np.asarray(jax.vmap(hedge.draw)(keys, plays)),
        float((weights * losses).sum()),
        int(np.argmin(total)),
        float(total.min()),
        hedge.regret_bound(n, static, config.share),
    )


def clipped_losses(pnl_usd: np.ndarray, config: Config) -> np.ndarray:
    """Round PnL to losses in [0, 1]; a half is no PnL, or no scale yet."""
    losses = np.full(pnl_usd.shape, 0.5)
    for t in range(len(pnl_usd)):
        scale = np.quantile(np.abs(pnl_usd[: t + 1]), config.clip_quantile)
        if scale > 0:
            losses[t] -= np.clip(pnl_usd[t] / scale, -1, 1) / 2
    return losses


def round_pnl_usd(tape: Tape, trades: Any, fee_bp: float, config: Config) -> np.ndarray:
    """PnL of each whole round and row, `[rounds, rows]`.

    Both ends of a round are marked at the V of the middle row, so that the rows differ by their
    trades only. Rounds whose mark lies beyond the tape are left out.
    """
    prices = series(tape)
    n = trades.fair_bp.shape[1]
    index, _ = (x[:n] for x in tape.frame_index())
    wake = index[:, -1]
    at_ns = prices.time_ns[wake]
    cash, position = _cash_and_position(prices, tape, index, trades, fee_bp)
    middle = trades.fair_bp.shape[0] // 2
    scale = 10 ** (tape.instrument.price_decimals + tape.instrument.size_decimals)
    fair = prices.anchor[wake] * np.exp(np.float64(trades.fair_bp[middle]) / BP) / scale
    span, ahead = config.round_s * NS, config.markout_s * NS
    rounds = max(int((at_ns[-1] - at_ns[0] - ahead) // span), 0)
    ends = at_ns[0] + span * np.arange(rounds + 1)
    latest = lambda when: np.searchsorted(at_ns, when, side="right") - 1
    at, later = latest(ends), latest(ends + ahead)
    equity = cash[:, at] + position[:, at] * fair[later]
    return np.diff(equity, axis=1).T


def _cash_and_position(
    prices: Series, tape: Tape, index: np.ndarray, trades: Any, fee_bp: float
) -> tuple[np.ndarray, np.ndarray]:
    """USD and size units after each frame, `[rows, frames]`."""
    anchor = prices.anchor[index][None, :, :, None]
    tick = prices.tick[index][None, :, :, None]
    lots = trades.lots.astype(np.int64)
    value = anchor * lots + tick * trades.lots_ticks.astype(np.int64)
    scale = 10 ** (tape.instrument.price_decimals + tape.instrument.size_decimals)
    usd = value.sum(axis=2) / scale
    cash = usd[..., 1] - usd[..., 0] - fee_bp / BP * usd.sum(axis=2)
    held = lots[..., 0].sum(axis=2) - lots[..., 1].sum(axis=2)
    return np.cumsum(cash, axis=1), np.cumsum(held, axis=1)
