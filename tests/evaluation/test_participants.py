"""Planted makers are found again: who they are, when they quote, and that they leave."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from diffmm import core
from diffmm.core import Stage
from diffmm.engine import run
from diffmm.evaluation import participants as evaluation
from diffmm.features import participants
from diffmm.market import EncoderConfig, Layout
from diffmm.simulation import makers


CONFIG = participants.Config()
REACTIVE, FAST, SLOW = 0, 1, 2
LEAVES_S, RETURNS_S = 700.0, 800.0
MARKET = makers.Config(
    makers=(
        makers.Maker(700, distance_ticks=1, latency_s=0.3),
        makers.Maker(2_500, distance_ticks=2, period_s=2.0),
        makers.Maker(9_000, distance_ticks=4, period_s=5.0, gone_s=(LEAVES_S, RETURNS_S)),
    ),
    duration_s=900.0,
)
SEED = 1


@dataclasses.dataclass(frozen=True)
class Run:
    tape: object
    whose: np.ndarray
    time_s: np.ndarray
    told: evaluation.Told
    normal_usd: np.ndarray
    depth_usd: np.ndarray
    share: np.ndarray


@functools.cache
def stage():
    inner, whole = evaluation.stage(CONFIG), participants.build(CONFIG)

    def update(p, state, event):
        (state, told), said = inner.update(p, state, event), whole.update(p, state, event)[1]
        depth = jnp.sum(said.standing.depth_usd, axis=1)
        return state, (told, said.standing.normal_usd, depth, said.share)

    return Stage(inner.init, update)


@functools.cache
def watched():
    layout = Layout(CONFIG.levels, 2)
    tape, whose = makers.tape(makers.simulate(MARKET, SEED), EncoderConfig(layout=layout))
    params = core.defaults(participants.Params)
    told, *rest = run.watch(stage(), params, tape.rows, unpack=tape.layout.unpack)
    time_s = np.cumsum(np.asarray(tape.events().dt_s, np.float64))
    return Run(tape, whose, time_s, evaluation.told(told), *map(np.asarray, rest))


def identified(whose, quotes, half):
    """Class of each maker by majority in the first half; adjusted accuracy in the second.

    `(accuracy - chance) / (1 - chance)`, chance being the share of the busiest maker.
    """
    known = (whose >= 0) & (quotes.sum(axis=1) > 0)
    label = quotes.argmax(axis=1)
    first, second = known & (np.arange(len(whose)) < half), known & (np.arange(len(whose)) >= half)
    count = np.zeros((quotes.shape[1], len(MARKET.makers)))
    np.add.at(count, (label[first], whose[first]), 1)
    named = count.argmax(axis=1)
    right = np.mean(named[label[second]] == whose[second])
    chance = np.bincount(whose[second]).max() / second.sum()
    return (right - chance) / (1 - chance), named, count


def class_of(who):
    one = watched()
    _, _, count = identified(one.whose, one.told.quotes, len(one.whose) // 2)
    return int(count[:, who].argmax())


BAR = 0.85


def test_each_planted_maker_is_recognised_by_its_class():
    one = watched()
    found, named, _ = identified(one.whose, one.told.quotes, len(one.whose) // 2)
    assert found > BAR
    assert set(named) == {REACTIVE, FAST, SLOW}


def test_shuffled_identities_are_not_recognised():
    one = watched()
    whose = one.whose.copy()
    real = np.flatnonzero(whose >= 0)
    whose[real] = np.random.default_rng(0).permutation(whose[real])
    assert identified(whose, one.told.quotes, len(whose) // 2)[0] < 0.1


def test_the_sizes_and_the_cycles_of_the_makers_are_those_that_were_planted():
    last, periods = watched().told.last, core.defaults(participants.Params).mixture.period_s
    for who in (REACTIVE, FAST, SLOW):
        lots = float(last["size_usd"][class_of(who)]) / 0.01
        assert lots == pytest.approx(MARKET.makers[who].size_lots, rel=0.1)
    for who, period_s in ((FAST, 2.0), (SLOW, 5.0)):
        k = class_of(who)
        assert periods[last["period_weight"][k].argmax()] == period_s
        assert last["rayleigh"][k].max() > 20
    assert last["rayleigh"][class_of(REACTIVE)].max() < 10


def rows():
    one = watched()
    periods = np.asarray(core.defaults(participants.Params).mixture.period_s)
    return evaluation.table(one.tape, one.told, periods, CONFIG.horizons_s)


def skills(who, rival="constant"):
    row = next(r for r in rows() if r["class"] == class_of(who))
    return [row[f"skill_vs_{rival}"][f"{h:g}"] for h in CONFIG.horizons_s]


def test_the_next_quotes_of_a_maker_with_a_clock_are_foreseen_out_of_sample():
    for rival in ("constant", "recent"):
        one_second, five_seconds = skills(FAST, rival)
        assert one_second["low"] > 0.4
        assert five_seconds["low"] > 0.1
    assert skills(SLOW)[0]["low"] > 0


def test_forecasts_told_at_other_moments_foresee_nothing():
    one = watched()
    k = class_of(FAST)
    late = np.roll(one.told.expected[:, k, 0], len(one.time_s) // 7)
    found = evaluation.skill(
        one.time_s, one.told.quotes[:, k], late, 1.0, 0.6, evaluation._constant, 0
    )
    assert found["value"] < 0.1


def test_a_confident_maker_that_leaves_is_missed_until_it_returns():
    one = watched()
    told, time_s, k = one.told.withdrawal, one.time_s, class_of(SLOW)
    mean = lambda a, b, x: x[(time_s > a) & (time_s < b)].mean()
    before, away = mean(500, LEAVES_S, told), mean(LEAVES_S + 10, RETURNS_S, told)
    back = mean(RETURNS_S + 10, 900, told)
    normal = one.normal_usd[(time_s > 500) & (time_s < LEAVES_S)].mean(axis=0)
    assert away > before + 0.4 * normal[k] / normal.sum()
    assert back < away / 2
    assert mean(LEAVES_S + 10, RETURNS_S, one.depth_usd[:, k]) < 0.25 * normal[k]


def test_the_table_speaks_of_busy_classes_and_of_cycles_that_chance_would_not_show():
    told = rows()
    assert [r["share"] for r in told] == sorted((r["share"] for r in told), reverse=True)
    cycles = {r["class"]: r["cycle_s"] for r in told}
    assert cycles[class_of(FAST)] == 2.0
    assert cycles[class_of(REACTIVE)] is None
    assert sum(r["share"] for r in told) > 0.95
