"""A market from a seed: the same for the same seed, stated by a file, told as a venue would."""

import dataclasses

import msgspec
import numpy as np
import pytest

from diffmm import market
from diffmm.simulation import account, generative, laws, parse
from diffmm.venues import tape_io, world_io


NAMES = ("none", "private", "sniping", "unwinding", "funding", "thin", "thick")


@pytest.fixture(scope="module")
def thin():
    return world_io.load_world("thin")


@pytest.fixture(scope="module")
def run(thin):
    return generative.simulate(thin, 0, 600.0)


@pytest.fixture(scope="module")
def tape(run):
    return generative.tape(run, market.AccountInputs(), market.EncoderConfig())[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_world_is_read_and_has_the_sources_its_name_says(name):
    world = world_io.load_world(name)
    on = {
        "private": world.private.informed_share > 0,
        "sniping": world.sniping.probability > 0,
        "unwinding": world.unwinding.share > 0,
        "funding": world.funding.rate_1h != 0,
    }
    expected = on if name in ("thin", "thick") else {k: k == name for k in on}
    assert on == expected
    if name in ("thin", "thick"):
        assert all(on.values())


def test_the_thin_world_is_what_it_is_stated_to_be(thin, tape):
    assert thin.private.informed_share == 0.2
    assert thin.market.duration_s == 3600
    book = tape.events().book
    spread = book.price_bp[:, 1, 0] - book.price_bp[:, 0, 0]
    assert spread.mean() == pytest.approx(12.0, abs=0.1)
    assert tape.events().rules.tick_bp[0] == pytest.approx(0.909, abs=0.001)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mean_usd", "meen_usd", ("unknown field `meen_usd`", "$.takers")),
        ("informed_share = 0.2", "informed_share = 1.2", ("informed_share = 1.2", "0 to 1")),
        ("volatility_bp = 1.5", "volatility_bp = 'x'", ("float", "$.market.volatility_bp")),
        ("[makers]", "[nobody]", ("unknown field `nobody`",)),
        ("title =", "title", ("not a world",)),
    ],
)
def test_a_file_that_is_no_world_is_refused_with_the_place_and_the_range(old, new, words):
    text = (world_io.CHECKOUT / world_io.FOLDER / "thin.toml").read_text()
    with pytest.raises(ValueError, match="not a world") as error:
        parse(text.replace(old, new))
    assert all(word in str(error.value) for word in words), error.value


def test_a_world_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(world_io.WorldError, match="funding, informed, none, private"):
        world_io.load_world("nowhere")
    with pytest.raises(world_io.WorldError, match="expected a world"):
        world_io.load_world(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("title = 3")
    with pytest.raises(world_io.WorldError, match=r"bad.toml: not a world"):
        world_io.load_world(tmp_path / "bad.toml")


def test_the_same_seed_is_the_same_market_and_another_seed_another(thin, run, tape):
    again = generative.simulate(thin, 0, 600.0)
    for field in dataclasses.fields(run):
        np.testing.assert_array_equal(getattr(run, field.name), getattr(again, field.name))
    other = generative.tape(
        generative.simulate(thin, 1, 600.0), market.AccountInputs(), market.EncoderConfig()
    )[0]
    assert not np.array_equal(other.rows[:500], tape.rows[:500])


def test_a_source_switched_off_leaves_every_other_draw_alone(thin):
    calm = msgspec.structs.replace(thin, funding=type(thin.funding)())
    deaf = msgspec.structs.replace(
        thin, private=msgspec.structs.replace(thin.private, informed_share=0.0)
    )
    base, other, uninformed = (generative.simulate(w, 0, 300.0) for w in (thin, calm, deaf))
    np.testing.assert_array_equal(base.limit_bp, other.limit_bp)
    np.testing.assert_array_equal(base.public_bp, uninformed.public_bp)
    both = (base.kind == laws.UNINFORMED) & (uninformed.kind == laws.UNINFORMED)
    np.testing.assert_array_equal(base.limit_bp[both], uninformed.limit_bp[both])


def test_the_draws_follow_the_stated_laws(thin):
    run = generative.simulate(thin, 2, 20_000.0)
    arrivals = run.kind != laws.SNIPER
    assert arrivals.sum() == pytest.approx(20_000 * thin.takers.rate_s, abs=600)
    share = (run.kind[arrivals] == laws.INFORMED).mean()
    assert share == pytest.approx(thin.private.informed_share, abs=0.012)
    assert run.usd[arrivals].mean() == pytest.approx(thin.takers.mean_usd, rel=0.03)
    at = run.at_takers
    beyond = run.sign * (run.limit_bp - run.public_bp[at])
    uninformed = beyond[run.kind == laws.UNINFORMED]
    assert (uninformed >= 0).all()
    assert uninformed.mean() == pytest.approx(thin.takers.reach_bp, rel=0.03)
    np.testing.assert_array_equal(beyond[run.kind == laws.SNIPER], 0.0)
    informed = run.kind == laws.INFORMED
    error = run.limit_bp[informed] - run.value_bp[at][informed]
    assert error.std() == pytest.approx(thin.private.noise_bp, rel=0.05)
    windows = 20_000 / thin.sniping.window_s
    snipes = (run.kind == laws.SNIPER).sum() / 2
    assert snipes == pytest.approx(windows * thin.sniping.probability, rel=0.04)
    move = np.diff(run.public_bp[run.at_blocks][::20])
    reveals = thin.private.sd_bp**2 / thin.private.delay_s
    jumps = 2 * thin.market.jump_bp**2 * thin.market.jump_rate_s
    per_s = thin.market.volatility_bp**2 + reveals + jumps
    step_s = 20 * thin.makers.block_s
    assert move.var() == pytest.approx(per_s * step_s, rel=0.1)


def test_the_public_price_takes_in_a_secret_when_its_time_is_over(thin):
    still = msgspec.structs.replace(
        thin, market=msgspec.structs.replace(thin.market, volatility_bp=0.0, jump_rate_s=0.0)
    )
    run = generative.simulate(still, 0, 600.0)
    secret = run.value_bp - run.public_bp
    moves = np.flatnonzero(np.diff(run.public_bp))
    assert len(moves) == pytest.approx(600 / thin.private.delay_s, abs=1)
    np.testing.assert_allclose(np.diff(run.public_bp)[moves], secret[moves], atol=1e-9)


def test_rows_carry_the_market_in_exact_integers(run, tape):
    events = tape.events()
    is_taker = np.asarray(events.kind) == int(market.Kind.TRADE)
    signs = np.asarray(events.trade.sign)[is_taker]
    at = run.instrument
    ticks = np.asarray(events.trade.ticks)[is_taker]
    exact = [
        generative.price(run, run.limit_bp[k]) for k in np.argsort(run.at_takers, kind="stable")
    ]
    anchors = np.array([tape.anchor_at(r)[0] for r in np.flatnonzero(is_taker)])
    paid = anchors + ticks * at.tick(anchors[0])
    better = signs * (np.array(exact) - paid)
    assert ((better >= 0) & (better <= at.tick(anchors[0]))).all()
    book = events.book
    assert (np.asarray(book.ticks[:, 0, 0]) < np.asarray(book.ticks[:, 1, 0])).all()
    assert (np.diff(np.asarray(book.ticks[:, 1]), axis=1) >= 0).all()


def test_the_raw_lines_are_the_same_market_with_only_the_prints_that_reach_the_book(thin, tape):
    lines = list(world_io.lines(thin, 0, 600.0))
    known = tape_io.universe(lines)
    assert known == {"SIM": market.Instrument.hyperliquid("SIM", 2)}
    told, encoder, notices = tape_io.encode(
        lines, known["SIM"], market.AccountInputs(), market.EncoderConfig()
    )
    assert not notices
    assert not encoder.counters.stale_books + encoder.counters.crossed_books
    public, hidden = told.events(), tape.events()
    books = lambda e: np.isin(np.asarray(e.kind), [int(market.Kind.BOOK), int(market.Kind.BBO)])
    for leaf in ("ticks", "usd"):
        one, other = (np.asarray(getattr(e.book, leaf))[books(e)] for e in (public, hidden))
        np.testing.assert_array_equal(one, other)
    prints = np.asarray(public.kind) == int(market.Kind.TRADE)
    side = (np.asarray(public.trade.sign)[prints] > 0).astype(int)
    touch = np.asarray(public.book.ticks)[prints, side, 0]
    np.testing.assert_array_equal(np.asarray(public.trade.ticks)[prints], touch)
    expected = []
    for i in np.flatnonzero(np.asarray(hidden.kind) == int(market.Kind.TRADE)):
        sign, limit = hidden.trade.sign[i], hidden.trade.ticks[i]
        level = int(sign > 0)
        within = sign * np.asarray(hidden.book.ticks[i, level]) <= sign * limit
        shown = np.asarray(hidden.book.usd[i, level])[within].sum()
        expected.append(min(float(hidden.trade.usd[i]), float(shown)))
    # The first print is in the first frame of prints, which by the venue's rule is history.
    met = [x for x in expected if x > 0][1:]
    np.testing.assert_allclose(np.asarray(public.trade.usd)[prints], met, rtol=1e-5)
    assert 0 < len(met) < len(expected) / 2
    assert any('"coin":"OTHER"' in x for x in world_io.lines(thin, 0, 5.0, coin="OTHER"))


def test_what_a_world_takes_from_the_account_is_exact(run):
    world = run.world
    fill = lambda time_s, sign: account.OwnFill(time_s, sign, 1_100_000, 1_000)
    costs = account.settle(run, [fill(10.0, -1), fill(20.0, 1)], taker_fee_bp=4.0)
    # Twice 1,100 USD, a tenth of it taken out at 6 + 4 bp.
    assert costs.unwinding_1e8 == 2 * 1_100 * 10**8 // 10 // 1_000
    assert costs.funding_1e8 == 0
    assert account.settlements_s(world.market.duration_s) == [1800.0]


def test_a_long_position_pays_the_hour_s_rate_at_the_public_price():
    world = world_io.load_world("funding")
    run = generative.simulate(world, 0, 1801.0)
    long = account.OwnFill(1799.0, -1, 1_100_000, 1_000)
    late = dataclasses.replace(long, time_s=1800.5)
    paid = account.settle(run, [long], taker_fee_bp=4.5).funding_1e8
    assert paid == round(1_100 * world.funding.rate_1h * 10**8)
    assert account.settle(run, [late], taker_fee_bp=4.5).funding_1e8 == 0
    short = dataclasses.replace(long, sign=1)
    assert account.settle(run, [short], taker_fee_bp=4.5).funding_1e8 == -paid


def test_a_drift_moves_the_price_its_takers_and_the_book_and_leaves_the_other_draws():
    trending = world_io.load_world("trending")
    still = msgspec.structs.replace(trending, drift=type(trending.drift)())
    bent, plain = (generative.simulate(x, 5, 3600.0) for x in (trending, still))
    np.testing.assert_array_equal(bent.times_s, plain.times_s)
    np.testing.assert_array_equal(bent.usd, plain.usd)
    assert not plain.drift_bp_s.any()
    # The drift's own sum, by the step before each time; a step may hold a change.
    moved = np.cumsum(bent.drift_bp_s[:-1] * np.diff(bent.times_s))
    np.testing.assert_allclose((bent.public_bp - plain.public_bp)[1:], moved, atol=1.0)
    np.testing.assert_allclose(
        bent.value_bp - bent.public_bp, plain.value_bp - plain.public_bp, atol=1e-9
    )
    speed = trending.drift.speed_bp_s
    assert set(np.unique(bent.drift_bp_s)) == {-speed, 0.0, speed}
    drift = bent.drift_bp_s[bent.at_takers]
    against = (drift * plain.sign < 0) & (plain.kind == laws.UNINFORMED)
    turned = bent.sign != plain.sign
    assert not turned[~against].any()
    assert turned[against].mean() == pytest.approx(trending.drift.turned, abs=0.08)
    # A turned taker goes as far the other way.
    reach = lambda m: m.sign * (m.limit_bp - m.public_bp[m.at_takers])
    np.testing.assert_allclose(reach(bent), reach(plain), atol=1e-9)
    lean = (bent.depth_noise - plain.depth_noise)[:, 0, 0] * 2
    way = np.sign(bent.drift_bp_s[bent.at_blocks])
    assert (lean - trending.drift.lean * way).std() == pytest.approx(0.2, abs=0.04)
    assert np.mean(lean[way > 0]) - np.mean(lean[way < 0]) == pytest.approx(1.4, abs=0.2)
