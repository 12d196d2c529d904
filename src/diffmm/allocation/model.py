"""The surface to sizes: own impact and level coupling inside, limits with a price each.

    max  sum P_i n_i e_i - sum P_i n_i eta (n_i / D_i)^b - m sum (new n_i) / n_ref
         - sum w_i [C(q - s N_i) - C(q)]
    s.t. Gamma exposure, inventory room, Kelly ceiling

Where `e_i <= 0` there is no size, smoothly. Source: ours; tested against a general solver.
"""

import dataclasses
import functools as ft

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from diffmm import pricing
from diffmm.core import all_finite, flag, Health, param, POSITIVE, Stage, where
from diffmm.market import Event, SIDE_SIGN
from diffmm.pricing import Surface
from diffmm.risk import reducing, RiskBudget

from . import programme
from .programme import Programme
from .search import solve


BP = 1e4
RAREST = float(jnp.finfo(jnp.float32).eps)


@dataclasses.dataclass(frozen=True)
class Config:
    """Static choices.

    **Attributes:**

    - `candidates`: how many prices a side the surface has.
    """

    candidates: int = pricing.Config().candidates.total

    @classmethod
    def small(cls) -> "Config":
        """The sizes on which the laws run."""
        return cls(pricing.Config.small().candidates.total)


class Params(eqx.Module):
    message_usd: Float[Array, ""] = param(POSITIVE, 1e-7, unit="USD")


class State(eqx.Module):
    """The last decision's inventory and prices, where the next search starts."""

    prices: programme.Prices


class Allocation(eqx.Module):
    """Sizes on the candidate prices, and what bounds them.

    **Attributes:**

    - `size_usd`: n_i, zero where nothing is worth quoting.
    - `gain_usd`: `P n e`, inventory saved at the first dollar included, the order in which levels
      are dropped outside.
    - `gamma_usd`: Gamma exposure of the sizes.
    - `gamma_dual`: price of the Gamma limit, bp per bp.
    - `cap_dual_bp`: price of the inventory cap on each side, 0 where it leaves no room at all.
    - `cap_is_kelly`: whether that cap is the Kelly ceiling and not the room.
    - `message_usd`: m, the price of a message.
    - `health`: flags.
    """

    size_usd: Float[Array, "side candidates"]
    gain_usd: Float[Array, "side candidates"]
    gamma_usd: Float[Array, ""]
    gamma_dual: Float[Array, ""]
    cap_dual_bp: Float[Array, "side"]
    cap_is_kelly: Bool[Array, "side"]
    message_usd: Float[Array, ""]
    health: UInt32[Array, ""]


def init(params: Params, *, config: Config) -> State:
    """Nothing is held and every limit is free."""
    none = jnp.zeros_like(params.message_usd)
    sides = jnp.stack([none, none])
    return State(programme.Prices(jnp.stack([sides] * config.candidates, axis=1), sides, none))


def update(
    params: Params, state: State, inputs: tuple[Event, RiskBudget, Surface], *, config: Config
) -> tuple[State, Allocation]:
    """Solve the programme at this wake."""
    event, risk, surface = inputs
    slots = event.orders.ticks.shape[1]
    cut = lambda x: x[:, : x.shape[1] - slots]
    data, viable, is_kelly = build_programme(params, event, risk, surface)
    point = solve(data, state.prices)
    size = jnp.where(viable & surface.has_book, point.y * risk.room_usd, 0.0)
    finite = all_finite(point)
    new = State(where(finite, point.prices, state.prices))
    return new, Allocation(
        size_usd=size,
        gain_usd=data.fill
        * size
        * (cut(surface.net_bp) - jnp.minimum(data.cubic[:, :1], 0.0))
        / BP,
        gamma_usd=jnp.sum(data.gamma * size) / BP,
        gamma_dual=point.prices.gamma,
        cap_dual_bp=point.cap,
        cap_is_kelly=is_kelly,
        message_usd=params.message_usd,
        health=flag(surface.has_book & ~finite, Health.NONFINITE_ALLOCATION),
    )


def build_programme(
    params: Params, event: Event, risk: RiskBudget, surface: Surface
) -> tuple[Programme, Bool[Array, "side candidates"], Bool[Array, "side"]]:
    """The programme of one decision, which levels can have a size, whether Kelly is the cap."""
    slots = event.orders.ticks.shape[1]
    cut = lambda x: x[:, : x.shape[1] - slots]
    valid, net, fill = cut(surface.is_valid), cut(surface.net_bp), cut(surface.fill)
    unit = risk.room_usd
    dtype = net.dtype
    # Below single precision's rounding unit a chance of a fill is none.
    valid = valid & (fill > RAREST)
    fill = jnp.maximum(fill, RAREST)
    sign = jnp.asarray(SIDE_SIGN, dtype)
    held = cut(surface.ticks)[:, :, None] == event.orders.ticks[:, None, :]
    is_new = ~jnp.any(held & event.orders.is_live[:, None, :], axis=2)
    message = jnp.where(is_new, BP * params.message_usd / surface.size_usd, 0.0)
    # A level that cannot pay its message has no size at any price of the limits; leaving its
    # numbers out keeps the system well scaled and changes nothing.
    cubic = _marginal_cost(risk, sign, unit)
    # What the first dollar of a reducing quote saves in inventory pays for its message too.
    viable = valid & (fill * (net - jnp.minimum(cubic[:, :1], 0.0)) > message)
    wanted = jnp.stack([unit + sign * risk.position_usd, risk.kelly_usd + sign * risk.exposure_usd])
    room = jnp.min(wanted, axis=0)
    # Nor has one on a side without room; a cap of almost nothing would have no accurate price.
    is_open = room > jnp.finfo(dtype).eps * unit
    viable = viable & is_open[:, None]
    best = jnp.max(jnp.where(viable, net, 0.0), initial=0.0)
    # No saving in inventory may make up for it either.
    worst = jnp.minimum(cubic[:, :1], 0.0) - best - event.rules.tick_bp
    impact = surface.impact_scale_bp * (unit / cut(surface.depth_usd)) ** surface.impact_power
    data = Programme(
        fill=fill,
        edge=jnp.where(viable, net, worst),
        # Without impact the sizes would be all or nothing.
        impact=jnp.maximum(impact, jnp.finfo(dtype).eps),
        power=surface.impact_power,
        message=jnp.where(viable, message, 0.0),
        sweep=jnp.maximum(
            fill - jnp.concatenate([fill[:, 1:], jnp.zeros_like(fill[:, :1])], axis=1), 0.0
        ),
        cubic=cubic,
        gamma=jnp.maximum(cut(surface.gamma_bp), jnp.finfo(dtype).eps),
        gamma_limit=BP * event.account.gamma_limit_usd / unit,
        cap=jnp.where(is_open, room / unit, 1.0)[:, None],
    )
    return data, viable, wanted[1] < wanted[0]


def _marginal_cost(
    risk: RiskBudget, sign: Float[Array, "side"], unit: Float[Array, ""]
) -> Float[Array, "side 4"]:
    """Coefficients of `BP x d/dN [C(q - s U N) - C(q)]` in powers of N.

    With `a = -s q` and `B = 2 beta / q_max^2` it is `g [(a - s x + U N) + B (a + U N)^3]`; an
    unwind policy takes `saving - slope U N` off the side that reduces.
    """
    start = -sign * risk.position_usd
    scale = risk.gamma0 * risk.variance_bp2 / BP
    bend = 2 * risk.convexity / risk.room_usd**2
    cubic = scale * jnp.stack(
        [
            start + bend * start**3 - sign * risk.cross_usd,
            unit * (1 + 3 * bend * start**2),
            3 * bend * start * unit**2,
            bend * unit**3 * jnp.ones_like(start),
        ],
        axis=1,
    )
    if (rid := reducing(risk, sign)) is None:
        return cubic
    none = jnp.zeros_like(start)
    return cubic - BP * jnp.stack([rid[0], -rid[1] * unit, none, none], axis=1)


def build(config: Config) -> Stage[Params, State, tuple[Event, RiskBudget, Surface], Allocation]:
    """Bind the static choices."""
    return Stage(ft.partial(init, config=config), ft.partial(update, config=config))
