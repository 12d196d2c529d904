"""What fills of ours, their absence and public prints say of V: Glosten-Milgrom evidence.

One pi for all of it, and the same for the surface: `informed_share`. Source: Glosten & Milgrom
(1985); moments matched in closed form in `glosten_milgrom`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from diffmm.core import where
from diffmm.features import Features
from diffmm.market import ASK, BID, Event, SIDE_SIGN

from . import flow_type as takers, glosten_milgrom, reach
from .dynamics import INFORMED, V
from .gaussian import condition, Gaussian
from .interface import Params, State


NODES = (-(3**0.5), 0.0, 3**0.5)
WEIGHTS = (1 / 6, 2 / 3, 1 / 6)
"""Three-point Gauss-Hermite rule for a standard normal."""


def informed_share(
    params: Params, mean: Float[Array, ""], var: Float[Array, ""], size: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """`E[sigmoid(logit + b log(1 + size))]` over the posterior of the logit.

    The same pi for the belief's fill update and for the surface. `size` is the quote's notional
    over the mean print: 0 leaves the logit alone. Where takers have types, the mean over their
    shares.
    """
    sd = jnp.sqrt(var)
    tilt = params.informed_size * jnp.log1p(size)
    share = lambda logit: takers.informed(params.flow_type, None, logit)
    terms = [w * share(mean + x * sd + tilt) for x, w in zip(NODES, WEIGHTS, strict=True)]
    return terms[0] + terms[1] + terms[2]


def depth_unit_bp(params: Params, seen: Features, tick_bp: Float[Array, ""]) -> Float[Array, ""]:
    """The market's scale of a depth, `half_spread + sigma sqrt(scale_s) + tick / 2`.

    The same for the belief's fill update and for the surface.
    """
    return seen.half_spread_bp + seen.sigma_bp * jnp.sqrt(params.reach.scale_s) + tick_bp / 2


def typed_fills(
    params: Params, state: State, event: Event, seen: Features, filled: Float[Array, ""] | None
) -> tuple[takers.State | None, takers.FlowType | None]:
    """Types of whoever filled us at this row; `None` where there are none."""
    if params.flow_type is None:
        return None, None
    assert state.flow_type is not None
    unit, trade, _ = scales(params, event, seen)
    given = (event, seen, unit, trade)
    return takers.update(params.flow_type, state.flow_type, given, filled=filled)


def take_fills(
    params: Params,
    modes: Gaussian,
    event: Event,
    seen: Features,
    typed: takers.FlowType | None,
) -> tuple[Gaussian, Float[Array, "modes"]]:
    unit, trade, noise = scales(params, event, seen)

    def side(modes, which):
        price, usd = event.fill.price_bp[which], event.fill.usd[which]
        sign = jnp.asarray(SIDE_SIGN, price.dtype)[which]
        log_type = None if typed is None else typed.log_type[which]

        def mode(g):
            depth = sign * (price - g.mean[V])
            log_u = reach.log_reach(params.reach, depth, event.fill.depth_usd[which], unit, trade)
            fill = lambda pi: glosten_milgrom.posterior(
                g.mean[V], g.var(V), price, sign, pi, jnp.exp(log_u) / 2, noise
            )
            return _take(params, g, fill, usd / trade, usd > 0, seen.informed_shift, log_type)

        return jax.vmap(mode)(modes)

    # Two fills in one row have no known order: the one nearer to fair value first, so that bid and
    # ask are exchanged exactly in a mirrored market.
    depth = jnp.asarray(SIDE_SIGN, unit.dtype) * (event.fill.price_bp - seen.fair_bp)
    first = jnp.where(depth[ASK] < depth[BID], ASK, BID)
    modes, log_first = side(modes, first)
    modes, log_second = side(modes, BID + ASK - first)
    return modes, log_first + log_second


def scales(
    params: Params, event: Event, seen: Features
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Unit of a depth, mean print, and noise of an informed taker's signal; all above zero."""
    unit = depth_unit_bp(params, seen, event.rules.tick_bp)
    unit = jnp.where(unit > 0, unit, 1.0)
    trade = jnp.where(seen.trade_usd > 0, seen.trade_usd, 1.0)
    return unit, trade, params.signal_noise * unit


def short(
    event: Event,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
    """The row's taker: his sign, how far out our nearest order to him rests and the queue in front
    of it (infinity and 0 without one), and whether there is a print and it stopped short of that.
    """
    which = jnp.where(event.trade.sign > 0, ASK, BID)
    sign = jnp.sign(event.trade.sign)
    mine = jax.tree.map(lambda x: x[which], event.orders)
    away = jnp.where(mine.is_resting, sign * mine.price_bp, jnp.inf)
    nearest = jnp.min(away)
    ahead = jnp.sum(jnp.where(mine.is_resting & (away == nearest), mine.ahead_usd, 0.0))
    return sign, nearest, ahead, (event.trade.usd > 0) & (sign * event.trade.price_bp < nearest)


def take_stop(
    params: Params, modes: Gaussian, event: Event, seen: Features
) -> tuple[Gaussian, Float[Array, "modes"]]:
    """A print that stopped short of our nearest order on its side: the fill that did not come."""
    unit, trade, noise = scales(params, event, seen)
    sign, nearest, ahead, is_short = short(event)
    stopped = is_short & jnp.isfinite(nearest)
    price = jnp.where(stopped, sign * nearest, seen.fair_bp)

    def mode(g):
        depth = sign * (price - g.mean[V])
        log_u = reach.log_reach(params.reach, depth, ahead, unit, trade)
        log_g = reach.log_reach(params.reach, jnp.zeros_like(depth), ahead, unit, trade)
        none = lambda pi: glosten_milgrom.passed(
            g.mean[V], g.var(V), price, sign, pi, jnp.exp(log_u) / 2, jnp.exp(log_g), noise
        )
        return _take(params, g, none, event.trade.usd / trade, stopped, seen.informed_shift, None)

    return jax.vmap(mode)(modes)


def take_print(
    params: Params, modes: Gaussian, event: Event, seen: Features
) -> tuple[Gaussian, Float[Array, "modes"]]:
    """A public taker who did not come as far as we stand: what his price says about V."""
    assert params.private is not None
    share = params.private.prints
    unit, trade, noise = scales(params, event, seen)
    sign, _, _, is_short = short(event)
    # One message holds a print for each order that a taker met; the first stands for him.
    happened = is_short & (event.dt_s > 0)
    price = jnp.where(happened, event.trade.price_bp, seen.fair_bp)

    def mode(g):
        depth = sign * (price - g.mean[V])
        log_u = reach.log_reach(params.reach, depth, jnp.zeros_like(depth), unit, trade)
        said = lambda pi: glosten_milgrom.posterior(
            g.mean[V], g.var(V), price, sign, pi * share, jnp.exp(log_u) / 2, noise
        )
        size = event.trade.usd / trade
        return _take(params, g, said, size, happened, seen.informed_shift, None)

    return jax.vmap(mode)(modes)


def _take(
    params: Params,
    g: Gaussian,
    given: Callable[[Float[Array, ""]], glosten_milgrom.FillPosterior],
    size: Float[Array, ""],
    happened: Bool[Array, ""],
    shift: Float[Array, ""] | None,
    log_type: Float[Array, " types"] | None,
) -> tuple[Gaussian, Float[Array, ""]]:
    """One mode after what a taker of `size` mean prints did, and the log likelihood of that."""
    tilt = params.informed_size * jnp.log1p(size)
    tilt = tilt if shift is None else tilt + shift
    sd = jnp.sqrt(g.var(INFORMED))
    logits = [g.mean[INFORMED] + x * sd for x in NODES]
    shares = [takers.informed(params.flow_type, log_type, x + tilt) for x in logits]
    logs = [jnp.log(w * given(pi).likelihood) for w, pi in zip(WEIGHTS, shares, strict=True)]
    log_total = jax.nn.logsumexp(jnp.stack(logs))
    weights = [jnp.exp(x - log_total) for x in logs]
    # The likelihood is linear in pi, so V's moments need its mean only.
    v = given(sum(w * pi for w, pi in zip(WEIGHTS, shares, strict=True)))
    mean = sum(w * x for w, x in zip(weights, logits, strict=True))
    var = sum(w * (x - mean) ** 2 for w, x in zip(weights, logits, strict=True))
    new = condition(g, V, v.mean_bp, v.var_bp2)
    new = condition(new, INFORMED, mean, var)
    return where(happened, new, g), jnp.where(happened, log_total, 0.0)
