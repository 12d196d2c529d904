"""Multiplicative weights against the oracles, and regret under the bound whatever the losses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffmm.core import defaults
from diffmm.learning import hedge


def play(losses, config, share=0.0, dtype=jnp.float32):
    """`(weights with which each round was played, expected losses, final state)`."""
    params = eqx.tree_at(lambda p: p.share, defaults(hedge.Params), jnp.asarray(share, dtype))
    state = hedge.init(params, config=config)
    step = lambda s, x: hedge.update(params, s, x, config=config)
    state, plays = jax.lax.scan(step, state, jnp.asarray(losses, dtype))
    return np.exp(plays.log_weights), np.asarray(plays.expected_loss), state


def regret(losses, config, share=0.0):
    _, expected, _ = play(losses, config, share)
    return float(expected.sum() - np.asarray(losses).sum(axis=0).min())


def test_the_weights_of_the_small_oracle_round_by_round(oracles, monkeypatch):
    entry = oracles["hedge_small"]
    losses, want = np.array(entry["inputs"]["losses"]), entry["expected"]
    rate = entry["inputs"]["eta"]
    monkeypatch.setattr(hedge, "_rate", lambda t, config: jnp.full_like(t, rate))
    config = hedge.Config(rows=3, delay=0)
    with jax.enable_x64(True):
        weights, expected, state = play(losses, config, dtype=jnp.float64)
    after = [*weights[1:], np.exp(state.log_weights)]
    np.testing.assert_allclose(after, want["weights_after"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(expected.sum(), want["hedge_loss"], rtol=1e-9)
    mix = -np.log(np.mean(np.exp(-rate * losses.sum(axis=0)))) / rate
    np.testing.assert_allclose(mix, want["mixloss"], rtol=1e-9)


def test_the_rate_and_the_bound_of_a_known_horizon_match_the_oracle(oracles):
    entry = oracles["hedge_bound"]
    n, t = entry["inputs"]["N"], entry["inputs"]["T"]
    config = hedge.Config(rows=n, delay=0, horizon=t)
    np.testing.assert_allclose(hedge.rates(t, config), entry["expected"]["eta"], rtol=1e-9)
    np.testing.assert_allclose(hedge.regret_bound(t, config), entry["expected"]["bound"], rtol=1e-9)


def test_the_anytime_bound_is_within_the_published_one(oracles):
    entry = oracles["hedge_bound"]
    n, t = entry["inputs"]["N"], entry["inputs"]["T"]
    got = hedge.regret_bound(t, hedge.Config(rows=n, delay=0))
    published = entry["expected"]["anytime_bound_eta_t_sqrt8lnN_over_t"]
    assert entry["expected"]["bound"] < got < published


def test_random_binary_losses_regret_as_the_oracle_says(oracles):
    want = oracles["hedge_bound"]["expected"]["mean_regret_random"]
    config = hedge.Config(rows=8, delay=0, horizon=1000)
    rng = np.random.default_rng(0)
    losses = rng.integers(0, 2, (60, 1000, 8)).astype(np.float32)
    _, expected, _ = jax.vmap(lambda x: play_traced(x, config))(losses)
    got = np.asarray(expected).sum(axis=1) - losses.sum(axis=1).min(axis=1)
    assert abs(got.mean() - want) < 4 * got.std() / np.sqrt(60)


def play_traced(losses, config):
    params = defaults(hedge.Params)
    step = lambda s, x: hedge.update(params, s, x, config=config)
    state, plays = jax.lax.scan(step, hedge.init(params, config=config), losses)
    return plays.log_weights, plays.expected_loss, state


def adversary(config, rounds):
    """Losses chosen against the weights played: the heaviest row loses."""
    params = defaults(hedge.Params)
    state = hedge.init(params, config=config)

    def step(state, _):
        losses = jax.nn.one_hot(jnp.argmax(state.log_weights), config.rows, dtype=jnp.float32)
        state, _ = hedge.update(params, state, losses, config=config)
        return state, losses

    return np.asarray(jax.lax.scan(step, state, None, length=rounds)[1])


@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("known", [True, False])
def test_regret_stays_under_the_bound_against_an_adversary_that_sees_the_weights(delay, known):
    rounds = 200
    config = hedge.Config(rows=3, delay=delay, horizon=rounds if known else 0)
    lead = np.tile([[1.0, 0, 0]] * (delay + 1) + [[0, 1.0, 0]] * (delay + 1), (100, 1))[:rounds]
    for losses in (adversary(config, rounds), lead):
        got, bound = regret(losses, config), hedge.regret_bound(rounds, config)
        assert 0 < got <= bound


SEQUENCES = st.lists(
    st.tuples(*[st.floats(0, 1, width=32) for _ in range(3)]), min_size=40, max_size=40
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEQUENCES, st.sampled_from([(0, 0, 0.0), (2, 0, 0.0), (2, 40, 0.1), (1, 0, 0.05)]))
def test_regret_is_under_the_bound_for_any_losses(losses, choice):
    delay, horizon, share = choice
    config = hedge.Config(rows=3, delay=delay, horizon=horizon)
    assert regret(losses, config, share) <= hedge.regret_bound(40, config, share) + 1e-4


def test_a_constant_added_to_a_rounds_losses_changes_no_weight_and_rows_are_interchangeable():
    rng = np.random.default_rng(1)
    losses = rng.random((30, 3))
    config = hedge.Config(rows=3, delay=1)
    base, _, _ = play(losses, config, 0.02)
    np.testing.assert_allclose(play(losses + 0.3, config, 0.02)[0], base, rtol=1e-5)
    order = [2, 0, 1]
    np.testing.assert_allclose(play(losses[:, order], config, 0.02)[0], base[:, order], rtol=1e-5)
    np.testing.assert_allclose(base.sum(axis=1), 1, rtol=1e-5)


def test_the_anytime_weights_are_a_softmax_of_summed_losses():
    rng = np.random.default_rng(2)
    losses = rng.random((20, 3))
    config = hedge.Config(rows=3, delay=0)
    weights, _, _ = play(losses, config)
    eta = hedge.rates(20, config)
    want = np.exp(-eta[-1] * losses[:-1].sum(axis=0))
    np.testing.assert_allclose(weights[-1], want / want.sum(), rtol=1e-4)


def test_a_round_is_learned_from_only_after_its_delay():
    losses = np.zeros((6, 3))
    losses[0] = [1, 0, 0]
    for delay in (0, 1, 2):
        weights, _, _ = play(losses, hedge.Config(rows=3, delay=delay))
        np.testing.assert_allclose(weights[: delay + 1], 1 / 3, rtol=1e-5)
        assert weights[delay + 1, 0] < 0.3


def test_a_fixed_share_follows_a_switch_that_plain_weights_miss():
    losses = np.zeros((400, 3))
    losses[:200, 1:] = 1
    losses[200:, [0, 2]] = 1
    config = hedge.Config(rows=3, delay=0, horizon=400)
    plain, shared = play(losses, config)[1].sum(), play(losses, config, 0.01)[1].sum()
    assert shared < plain / 2


def test_the_row_played_is_drawn_from_the_weights():
    log_weights = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    one = hedge.Play(log_weights, jnp.zeros(()))
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = np.bincount(jax.vmap(lambda k: hedge.draw(k, one))(keys), minlength=3) / 2000
    np.testing.assert_allclose(drawn, [0.2, 0.5, 0.3], atol=0.04)


def test_one_row_is_no_choice():
    with pytest.raises(ValueError, match="two rows or more"):
        hedge.Config(rows=1)
