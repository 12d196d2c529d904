"""Many short runs of a generative world, cut to one shape, with the truth beside every row."""

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from diffmm.market import AccountInputs, Encoder, EncoderConfig, Tape
from diffmm.market.messages import TradesMessage

from . import generative, laws
from .generative import BP
from .taker_law import Taker
from .world import World


class Path(eqx.Module):
    """One run: packed rows in frames, the taker of each row, and V there.

    A batch of runs has one more axis in front.
    """

    frames: Float[Array, "*b frames rows width"]
    takers: Taker


def draw(
    world: World, seed: int, paths: int, frames: int, account: AccountInputs, config: EncoderConfig
) -> Path:
    """The first `frames` of `paths` runs, numpy leaves.

    Args:
        world: its laws.
        seed: same seed, same runs.
        paths: how many.
        frames: of each.
        account: what the events say of it.
        config: when the quotes are evaluated, and shapes.
    """
    runs = [_one(world, seed * 1_000_003 + k, frames, account, config) for k in range(paths)]
    stack = lambda pick: np.stack([pick(x) for x in runs])
    names = [f.name for f in dataclasses.fields(Taker)]
    takers = Taker(*(stack(lambda x, n=n: getattr(x.takers, n)) for n in names))
    return Path(stack(lambda x: x.frames), takers)


def _one(
    world: World, seed: int, frames: int, account: AccountInputs, config: EncoderConfig
) -> Path:
    span_s = frames * config.timer_ns / generative.NS + 1.0
    market = generative.simulate(world, seed, span_s)
    encoder = Encoder(market.instrument, account, config)
    rows: list[np.ndarray] = []
    who: list[int] = []
    true_s: list[float] = []
    for stamp, message in generative.messages(market, "limits"):
        made = encoder.on(message, stamp)
        # The first message of trades is history, of no one.
        prints = message.prints if isinstance(message, TradesMessage) else ()
        taker = prints[0].tid - 1 if prints else -1
        rows += made
        who += [-1] * (len(made) - 1) + [taker] * bool(made)
        seconds = (stamp - generative.START_MS * 1_000_000) / generative.NS
        true_s += [seconds - world.market.feed_lag_s] * len(made)
    tape = Tape(
        np.stack(rows),
        config.layout,
        config.frame_rows,
        market.instrument,
        ((0, encoder.anchor, encoder.tick),),
    )
    index, valid = tape.frame_index()
    index, valid = index[:frames], valid[:frames]
    return Path(
        tape.frames(frames),
        _truth(market, encoder.anchor, np.array(who), np.array(true_s), index, valid),
    )


def _truth(
    market: generative.Market,
    anchor: int,
    who: np.ndarray,
    true_s: np.ndarray,
    index: np.ndarray,
    valid: np.ndarray,
) -> Taker:
    """Takers and values of every row of the frames; of a padded row, nobody."""
    taker = np.where(valid, who[index], -1)
    at = np.clip(np.searchsorted(market.times_s, true_s, side="right") - 1, 0, None)[index]
    at = np.where(taker >= 0, market.at_takers[taker], at)
    kind = np.where(taker >= 0, market.kind[taker], laws.UNINFORMED)
    about = lambda bp: (BP * np.log(np.asarray(generative.price(market, bp)) / anchor)).astype(
        np.float32
    )
    return Taker(
        sign=np.where(taker >= 0, market.sign[taker], 0).astype(np.float32),
        is_informed=kind == laws.INFORMED,
        is_sniper=kind == laws.SNIPER,
        public_bp=about(market.public_bp[at]),
        value_bp=about(market.value_bp[at]),
    )
