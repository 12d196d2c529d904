"""Types of takers found again where they were planted, and told in a world that knows its own."""

import dataclasses

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

from diffmm.belief import flow_type, glosten_milgrom
from diffmm.core import defaults
from diffmm.engine import graph
from diffmm.evaluation import flow_type as evaluation
from diffmm.learning import flow_type as learning, typed_fills
from diffmm.market import AccountInputs, EncoderConfig
from diffmm.simulation import generative, hard_fills, laws
from diffmm.training import with_flow_type
from diffmm.venues import world_io


K = len(flow_type.FEATURES)
RETAIL, WHALE = (flow_type.TYPES.index(x) for x in ("retail", "whale"))
CONFIG = learning.Config(steps=200)


def planted(n=4000, seed=0, informed=(0.05, 0.9), twin=False):
    """Fills of two types at an ask at 0: sizes differ by two deviations, and one in three knows.

    Args:
        informed: share of the informed among each type.
        twin: whether `recency` repeats `size`.
    """
    rng = np.random.default_rng(seed)
    who = np.where(rng.random(n) < 1 / 3, WHALE, RETAIL)
    z = np.zeros((n, K))
    z[:, 0] = 3 + 0.5 * (rng.normal(size=n) + 2 * (who == WHALE))
    z[:, 1] = z[:, 0] if twin else 0.0
    # V of those who filled us, drawn from its posterior by rejection.
    knows = rng.random(n) < np.where(who == WHALE, informed[1], informed[0])
    sd, noise, reach = 4.0, 1.0, 0.4
    v, left = np.zeros(n), np.ones(n, bool)
    while left.any():
        drawn = rng.normal(size=n) * sd
        fills = np.where(knows, drawn + noise * rng.normal(size=n) > 0, rng.random(n) < reach)
        v, left = np.where(left & fills, drawn, v), left & ~fills
    full = lambda x: np.full(n, x, np.float32)
    told = {
        "z": z.astype(np.float32),
        "is_known": np.tile(np.arange(K) < 2, (n, 1)),
        "price_bp": full(0.0),
        "reach": full(reach),
        "size": full(0.0),
        "v": full(0.0),
        "v_var": full(sd**2),
        "informed": full(0.0),
        "informed_var": full(1e-6),
        "noise_bp": full(noise),
        "log_type": np.zeros((n, len(flow_type.TYPES)), np.float32),
    }
    at = np.arange(n)
    return typed_fills.Fills(at, at.astype(float), np.ones(n, int), who, told, v, np.zeros(n))


def said(types, found):
    declared = defaults(flow_type.Params)
    return np.asarray(learning.posteriors(types, *learning.standardised(types, declared, found)))


def test_moments_are_the_shares_and_the_features_of_the_types():
    found = planted()
    types = learning.moments(defaults(flow_type.Params), found)
    share = np.exp(flow_type.log_prior(types))
    assert share[WHALE] == pytest.approx(1 / 3, abs=0.03)
    np.testing.assert_allclose(share[:3], 0.5 / (4000 + 2.5), rtol=1e-3)
    apart = np.asarray(types.typical)[WHALE] - np.asarray(types.typical)[RETAIL]
    assert apart[0] == pytest.approx(2.0, abs=0.1)
    assert float(types.spread[0]) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(np.asarray(types.typical)[:3], 0)
    np.testing.assert_array_equal(apart[1:], 0)


def test_what_two_features_say_alike_counts_once_after_the_likelihood():
    found, fresh = planted(twin=True), planted(twin=True, seed=1)
    rough = learning.moments(defaults(flow_type.Params), found)
    types = learning.likeliest(rough, defaults(flow_type.Params), found, CONFIG)
    row = np.arange(4000)
    score = lambda p: said(p, fresh)[row, fresh.type].mean()
    prior = np.asarray(flow_type.log_prior(types))[fresh.type].mean()
    assert score(types) > score(rough) + 0.02
    assert score(types) > prior + 0.2
    # Said with probability p, it is true in a share p of cases.
    p = np.exp(said(types, fresh)[:, WHALE])
    for low in (0.0, 0.25, 0.5, 0.75):
        some = (p >= low) & (p < low + 0.25)
        assert (fresh.type[some] == WHALE).mean() == pytest.approx(p[some].mean(), abs=0.06)


def test_biases_are_found_again_and_what_was_not_met_stays_without():
    declared, found = defaults(flow_type.Params), planted(n=20_000)
    types = learning.likeliest(learning.moments(declared, found), declared, found, CONFIG)
    params = defaults(graph.Params).belief
    wide = learning.Config(steps=300, bias_sd=10.0)
    bias = np.asarray(learning.biases(params, types, jnp.asarray(said(types, found)), found, wide))
    # Shares are of those who fill: an informed taker does with probability 1/2, another with .4.
    of_comers = lambda share: share / 0.5 / (share / 0.5 + (1 - share) / 0.4)
    share = 1 / (1 + np.exp(-bias))
    assert share[WHALE] == pytest.approx(of_comers(0.9), abs=0.1)
    assert share[RETAIL] == pytest.approx(of_comers(0.05), abs=0.06)
    assert np.abs(bias[:3]).max() < 0.5


def test_what_types_know_is_worth_its_log_score_of_v_on_other_fills():
    declared, found, fresh = defaults(flow_type.Params), planted(), planted(seed=1)
    params = defaults(graph.Params).belief
    types, alike = learning.fitted(params, declared, found, CONFIG)

    def score(chosen):
        share = jax.vmap(lambda x: flow_type.informed(chosen, x, jnp.float32(0.0)))
        pi = share(jnp.asarray(said(chosen, fresh)))
        after = glosten_milgrom.posterior(0.0, 16.0, 0.0, 1.0, pi, 0.4, 1.0)
        return -np.log(after.var_bp2) / 2 - (fresh.truth_bp - after.mean_bp) ** 2 / (
            2 * np.asarray(after.var_bp2)
        )

    gained = np.asarray(score(types) - score(alike))
    assert gained.mean() > 3 * gained.std() / np.sqrt(len(gained))


def test_the_table_counts_and_scores():
    types = np.array([RETAIL, RETAIL, WHALE, WHALE])
    p = np.full((4, 5), 0.05)
    p[[0, 1, 2, 3], [RETAIL, WHALE, WHALE, WHALE]] = 0.8
    prior = np.log(np.full(5, 0.2))
    told = evaluation.table(
        np.array([0.0, 70.0, 140.0, 210.0]),
        types,
        np.log(p),
        prior,
        {"none": np.zeros(4), "types": np.ones(4)},
        0,
    )
    assert told["right"] == 0.75
    assert told["confusion"][RETAIL][WHALE] == 1
    assert told["confusion"][WHALE][WHALE] == 2
    expected = (3 * np.log(0.8) + np.log(0.05)) / 4
    assert told["type_log_score"]["posterior"] == pytest.approx(expected)
    assert told["type_gain"]["value"] == pytest.approx(expected - np.log(0.2))
    assert told["v_gain"] == {"types over none": {"value": 1.0, "low": 1.0, "high": 1.0}}


@pytest.mark.slow
def test_in_a_world_the_same_takers_fill_us_whatever_the_types_and_are_told_by_their_kind():
    world = world_io.load_world("informed")
    # Every quote that a passing price leaves behind is taken: a third kind among the fills.
    world = msgspec.structs.replace(
        world, sniping=msgspec.structs.replace(world.sniping, probability=1.0)
    )
    market = generative.simulate(world, 0, 900.0)
    tape, _ = generative.tape(market, AccountInputs(room_usd=1e9), EncoderConfig())
    who = typed_fills.types_of_rows(market, tape)
    assert (who != typed_fills.NOBODY).sum() == len(market.kind)
    assert (who == WHALE).sum() == (market.kind == laws.INFORMED).sum()
    with pytest.raises(ValueError, match="takers on the tape"):
        typed_fills.types_of_rows(
            dataclasses.replace(market, at_takers=market.at_takers[:-1], kind=market.kind[:-1]),
            tape,
        )
    stage = typed_fills.build(typed_fills.Config(engine=graph.Config.small()))
    declared = defaults(flow_type.Params)
    biased = dataclasses.replace(declared, informed_bias=jnp.full(5, 3.0))

    def fills(types):
        params = typed_fills.Params(
            with_flow_type(defaults(graph.Params), types),
            defaults(hard_fills.Params),
            jnp.float32(5.0),
            jnp.float32(1000.0),
        )
        return typed_fills.gather(stage, params, tape, who, np.zeros(len(tape.rows)))

    plain, other = fills(declared), fills(biased)
    assert len(plain.row) > 100
    assert set(plain.type) >= {RETAIL, WHALE}
    np.testing.assert_array_equal(plain.row, other.row)
    np.testing.assert_array_equal(plain.told["z"], other.told["z"])
    assert not np.array_equal(plain.log_score, other.log_score)
    both = typed_fills.joined([plain, plain], 2000.0)
    assert len(both.row) == 2 * len(plain.row)
    assert (np.diff(both.time_s) >= 0).all()
