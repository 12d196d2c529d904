"""Random but well-formed events in the small shapes, for laws and stage tests."""

import jax
import jax.numpy as jnp
import numpy as np

from diffmm import market


LEVELS, SLOTS = 4, 2


def stream(n=50, seed=0, levels=LEVELS, slots=SLOTS, dtype=np.float32, wake_every=4, move_bp=0.3):
    """A batch of `n` events: a random-walk mid, exponential depth, trades, fills, a reference."""
    rng = np.random.default_rng(seed)
    f = lambda x: np.asarray(x, dtype)
    mid = np.cumsum(rng.normal(0, move_bp, n))
    tick = 0.25
    half = tick * (1 + rng.integers(0, 4, n)) / 2
    steps = np.cumsum(1 + rng.integers(0, 3, (n, 2, levels)), axis=2) - 1.0
    steps -= steps[:, :, :1]
    sign = np.array([-1.0, 1.0])[None, :, None]
    ticks = np.round((mid[:, None, None] + sign * (half[:, None, None] + tick * steps)) / tick)
    touch = ticks[:, :, 0]
    ticks[:, 1] += (touch[:, 0] >= touch[:, 1])[:, None] * (touch[:, 0] - touch[:, 1] + 1)[:, None]
    price = tick * ticks
    mid = price[:, :, 0].mean(1)
    half = (price[:, 1, 0] - price[:, 0, 0]) / 2
    usd = rng.lognormal(8, 1, (n, 2, levels))
    kinds = rng.choice([1, 2, 3, 4, 9], n)
    is_trade = kinds == int(market.Kind.TRADE)
    buys = rng.choice([-1.0, 1.0], n)
    fill = rng.random((n, 2)) < 0.1
    ones = np.ones(n)
    side = lambda x: np.ascontiguousarray(x[:, :, :slots])
    columns = {
        "kind": kinds.astype(np.int32),
        "is_valid": np.ones(n, bool),
        "wake": np.arange(n) % wake_every == wake_every - 1,
        "restart": np.zeros(n, bool),
        "dt_s": f(rng.exponential(0.1, n)),
        "age_s": f(0.05 + 0.1 * rng.random(n)),
        "lag_s": f(0.4 + 0.1 * rng.random(n)),
        "shift_bp": f(np.zeros(n)),
        "shift_ticks": np.zeros(n, np.int32),
        "book": {
            "ticks": ticks.astype(np.int32),
            "price_bp": f(price),
            "usd": f(usd),
            "age_s": f(rng.exponential(0.5, (n, 2, levels))),
            "is_valid": np.ones((n, 2, levels), bool),
        },
        "trade": {
            "ticks": np.round((mid + buys * half) / tick).astype(np.int32),
            "price_bp": f(mid + buys * half),
            "usd": f(is_trade * rng.lognormal(6, 1, n)),
            "sign": f(buys),
        },
        "reference": {
            "mid_bp": f(mid + rng.normal(0, 0.2, n)),
            "half_spread_bp": f(0.1 * ones),
            "age_s": f(0.3 * ones),
            "is_valid": np.ones(n, bool),
        },
        "context": {
            "funding_rate_1h": f(1.25e-5 * ones),
            "premium_rate_1h": f(1.25e-5 * ones),
            "open_interest_usd": f(1e8 * ones),
            "mark_bp": f(mid),
            "settlement_s": f(1800 * ones),
            "is_valid": np.ones(n, bool),
        },
        "fill": {
            "price_bp": f(price[:, :, 0]),
            "usd": f(fill * 500.0),
            "depth_usd": f(np.zeros((n, 2))),
        },
        "orders": {
            "ticks": side(ticks).astype(np.int32),
            "price_bp": f(side(price)),
            "usd": f(np.full((n, 2, slots), 500.0)),
            "ahead_usd": f(side(usd)),
            "age_s": f(np.ones((n, 2, slots))),
            "is_live": np.ones((n, 2, slots), bool),
            "is_resting": np.ones((n, 2, slots), bool),
        },
        "account": {
            "position_usd": f(rng.normal(0, 2000, n)),
            "wealth_usd": f(1e5 * ones),
            "room_usd": f(2e4 * ones),
            "gamma_limit_usd": f(0.2 * ones),
            "maker_fee_bp": f(1.5 * ones),
            "taker_fee_bp": f(4.5 * ones),
            "cross_usd": f(rng.normal(0, 1000, n)),
        },
        "rules": {
            "tick_bp": f(tick * ones),
            "lot_usd": f(ones),
            "min_notional_usd": f(10 * ones),
        },
    }
    return jax.vmap(_event)(columns)


PARTS = {
    "book": market.Book,
    "trade": market.Trade,
    "reference": market.Reference,
    "context": market.Context,
    "fill": market.Fill,
    "orders": market.Orders,
    "account": market.Account,
    "rules": market.Rules,
}


def _event(columns):
    """One row as an Event; under `vmap`, so that runtime shape checks see unbatched leaves."""
    parts = {name: kind(**columns[name]) for name, kind in PARTS.items()}
    return market.Event(**{**columns, **parts})


def row(tree, i):
    """The i-th event of a batch."""
    return jax.tree.map(lambda x: x[i], tree)


def mirror(events):
    """Bid and ask exchanged, every price, sign and position negated."""
    return jax.vmap(_mirrored)(events)


def _mirrored(events):
    swap = lambda b: jax.tree.map(lambda x: jnp.flip(x, axis=0), b)
    neg_price = lambda b: type(b)(
        **{
            **vars(b),
            "price_bp": -b.price_bp,
            **({"ticks": -b.ticks} if hasattr(b, "ticks") else {}),
        }
    )
    return market.Event(
        **{
            **vars(events),
            "shift_bp": -events.shift_bp,
            "shift_ticks": -events.shift_ticks,
            "book": neg_price(swap(events.book)),
            "trade": market.Trade(
                -events.trade.ticks,
                -events.trade.price_bp,
                events.trade.usd,
                -events.trade.sign,
            ),
            "reference": market.Reference(
                **{**vars(events.reference), "mid_bp": -events.reference.mid_bp}
            ),
            "context": market.Context(
                **{
                    **vars(events.context),
                    "mark_bp": -events.context.mark_bp,
                    "funding_rate_1h": -events.context.funding_rate_1h,
                    "premium_rate_1h": -events.context.premium_rate_1h,
                }
            ),
            "fill": neg_price(swap(events.fill)),
            "orders": neg_price(swap(events.orders)),
            "account": market.Account(
                **{
                    **vars(events.account),
                    "position_usd": -events.account.position_usd,
                    "cross_usd": -events.account.cross_usd,
                }
            ),
        }
    )
