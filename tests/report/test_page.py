"""The page: one file, mode first, every section there, and no run too poor to be shown."""

import dataclasses
import functools as ft
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

import small_run
from diffmm import evaluation, market
from diffmm.report import binding, series, write_page
from diffmm.report.binding import Bound


SECTIONS = (
    "The market and what is believed of it",
    "The ladder and what bound it",
    "One decision: edge against every cost, by depth",
    "Fills and what followed them",
    "Money",
    "Why a side is missing",
    "Reproduce with",
)
SUMMARY = {
    "mode": "shadow",
    "venue": "loopback",
    "events": 400,
    "decisions": 100,
    "fills": 250,
    "pnl_usd": -1.5,
    "pnl_parts": {"spread": 2.0, "adverse": -3.0, "inventory": -0.5, "funding": 0.0, "fees": 0.0},
    "gamma_violations": 0,
    "nonfinite": 0,
    "latency_us": {"trivial": {"p50": 30.0}, "decide": {"p50": 212.0, "p99": 700.0}},
    "markouts_bp": {
        "1": {"value": 0.25, "n": 250, "low": 0.1, "high": 0.4},
        "60": {"value": None, "n": 0, "low": None, "high": None},
    },
    "epnl_positive_share": {"bid": {"near_touch": {"share": 0.5, "n": 10, "blamed": {"gm": 5}}}},
    "fill_rule": {
        "order_latency_ms": 350.0,
        "cancel_latency_ms": 350.0,
        "queue_cancel_ahead": 0.5,
        "fill_on": "prints",
    },
    "health": {"NO_BOOK": 3},
}
LEARNER = {
    "offsets_bp": np.linspace(-2, 2, 9),
    "weights": np.full((5, 9), 1 / 9),
    "times": 60.0 * np.arange(5),
    "regret": np.arange(5.0),
    "bound": 3.0 + np.arange(5.0),
}


@pytest.fixture(scope="module")
def run():
    tape, record = small_run.run()
    return tape, jax.tree.map(np.asarray, record)


def filled(run, seed=0):
    """The run with fills at random rows near the touch."""
    tape, record = run
    rng = np.random.default_rng(seed)
    lots = np.where(rng.random(record.lots.shape) < 0.1, rng.integers(1, 400, record.lots.shape), 0)
    index, valid = tape.frame_index()
    lots = (lots * valid[: len(lots), :, None]).astype(np.int32)
    lots[0] = 0
    touch = tape.events().book.ticks[:, :, 0][index[: len(lots)]]
    return tape, dataclasses.replace(record, lots=lots, lots_ticks=(lots * touch).astype(np.int32))


def frames(run, n):
    return run[0], jax.tree.map(lambda x: x[:n], run[1])


def rendered(path, run, summary=SUMMARY, **given):
    words = {"title": "TOY for a minute", "mode": "shadow", "reproduce": "run_live.py --for 60s"}
    write_page(path, **(words | given), summary=summary, tape=run[0], record=run[1])
    return path.read_text(encoding="utf-8")


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn."""

    void = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert "nan" not in text.split("<main>")[1].split("<details>")[0].lower().replace("finance", "")


def test_the_title_says_the_mode_first_and_that_fills_are_modelled(run, tmp_path):
    text = rendered(tmp_path / "p.html", run)
    title = text.split("<title>")[1].split("</title>")[0]
    assert title.startswith("SHADOW - no order leaves this process; fills are modelled")
    assert "TOY for a minute" in title


def test_a_whole_run_has_every_section_and_the_summary_figures(run, tmp_path):
    text = rendered(tmp_path / "p.html", filled(run), learner=LEARNER)
    check(text)
    for name in (*SECTIONS, "The learner"):
        assert f"<h2>{name}</h2>" in text
    for word in ("-1.5", "queue_cancel_ahead", "prints", "NO_BOOK", "212", "run_live.py --for 60s"):
        assert word in text
    assert "1 s, n 250: 0.25 [0.1, 0.4]" in text
    assert "near_touch" in text


def test_the_page_fetches_nothing(run, tmp_path):
    text = rendered(tmp_path / "p.html", filled(run), learner=LEARNER)
    for word in (" src=", " href=", "@import", "url(", "fetch(", "XMLHttpRequest", "<link"):
        assert word not in text
    assert "default-src 'none'" in text
    assert [
        p for p in text.split("http")[1:] if not p.startswith(("-equiv", "://www.w3.org/"))
    ] == []


def test_twenty_thousand_decisions_stay_under_two_megabytes(run, tmp_path):
    tape, record = filled(run)
    times = 200
    rows = np.tile(tape.rows, (times, 1))
    long = dataclasses.replace(tape, rows=rows)
    record = jax.tree.map(lambda x: np.concatenate([x] * times), record)
    assert len(record.lots) == 20_000
    path = tmp_path / "p.html"
    rendered(path, (long, record), learner=LEARNER)
    assert path.stat().st_size < 2_000_000


def test_few_fills_gaps_and_violations_are_told_before_any_figure(run, tmp_path):
    quiet = rendered(tmp_path / "a.html", run)
    assert 'class="notice' not in quiet
    bad = SUMMARY | {"fills": 7, "counters": {"gaps": 2}, "gamma_violations": 4, "nonfinite": 1}
    told = rendered(tmp_path / "b.html", run, bad).split('class="tiles"')[0]
    for word in (
        "7 fills: fewer than 100",
        "2 gaps",
        "4 decisions left",
        "1 steps were not finite",
    ):
        assert word in told


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_run_of_hardly_any_frames_is_shown(run, tmp_path, n):
    check(rendered(tmp_path / "p.html", frames(run, n), {}))


def test_a_run_that_saw_no_event_is_shown(run, tmp_path):
    tape, record = frames(run, 0)
    nothing = dataclasses.replace(tape, rows=tape.rows[:0], anchors=())
    text = rendered(tmp_path / "p.html", (nothing, record), {})
    check(text)
    assert "No event reached the engine" in text


def test_a_run_without_fills_or_summary_or_learner_is_shown(run, tmp_path):
    tape, record = run
    none = np.zeros_like(record.lots)
    text = rendered(
        tmp_path / "p.html", (tape, dataclasses.replace(record, lots=none, lots_ticks=none)), {}
    )
    check(text)
    assert "0 fills: fewer than 100" in text
    assert "no markout was measured in this run" in text
    assert "The learner" not in text


def test_a_run_of_nothing_but_nan_is_shown(run, tmp_path):
    spoil = lambda x: np.full_like(x, np.nan) if x.dtype.kind == "f" else x
    tape, record = filled(run)
    text = rendered(tmp_path / "p.html", (tape, jax.tree.map(spoil, record)), {})
    check(text)
    assert "no finite value in this run" in text


def test_a_run_without_a_book_is_shown(run, tmp_path):
    tape, record = run
    surface = record.quotes.surface
    blind = dataclasses.replace(surface, has_book=np.zeros_like(surface.has_book))
    quotes = dataclasses.replace(record.quotes, surface=blind)
    text = rendered(tmp_path / "p.html", (tape, dataclasses.replace(record, quotes=quotes)), {})
    check(text)
    assert "100.0 % of the decisions had no two-sided book" in text


def test_a_learner_without_a_finished_round_is_said(run, tmp_path):
    nothing = LEARNER | {"weights": np.zeros((0, 9)), "times": np.zeros(0)}
    assert "no round was finished" in rendered(tmp_path / "p.html", run, learner=nothing)


def test_text_from_outside_is_escaped(run, tmp_path):
    hostile = "<img onerror=x>"
    tape = dataclasses.replace(run[0], instrument=market.Instrument(hostile, 2, 4))
    leaf = {hostile: {hostile: hostile}}
    summary = {
        hostile: hostile,
        "venue": hostile,
        "health": {hostile: 1},
        "missing_side": {hostile: {hostile: 3}},
        "pnl_parts": {hostile: 1.0},
        "latency_us": leaf,
        "markouts_bp": {hostile: 1.0},
        "epnl_positive_share": {hostile: {hostile: {hostile: hostile, "blamed": leaf}}},
    }
    text = rendered(
        tmp_path / "p.html", (tape, run[1]), summary, title=hostile, mode=hostile, reproduce=hostile
    )
    assert "<img" not in text.lower()
    check(text)


def test_what_keeps_a_side_out_is_found_where_the_summary_does_not_say(run, tmp_path):
    table = lambda text: text.split("Why a side is missing")[1].split("<h2>")[0]
    assert "<p>Never.</p>" in table(rendered(tmp_path / "p.html", run, {"missing_side": {}}))
    tape, record = run
    targets = dataclasses.replace(record.quotes.targets, lots=0 * record.quotes.targets.lots)
    quotes = dataclasses.replace(record.quotes, targets=targets)
    gone = (tape, dataclasses.replace(record, quotes=quotes))
    event = tape.layout.unpack(tape.rows[np.flatnonzero(tape.events().wake)[: len(record.lots)]])
    reasons = binding.missing(event, quotes)
    found = table(rendered(tmp_path / "p.html", gone, {}))
    assert reasons["bid"]
    for name in reasons["bid"] | reasons["ask"]:
        assert f"<td>{name}</td>" in found


def test_pnl_over_time_ends_where_the_exact_ledger_does(run):
    tape, record = filled(run)
    fee_bp = float(tape.events().account.maker_fee_bp[0])
    prices = evaluation.series(tape)
    index = tape.frame_index()[0]
    ours = evaluation.fills(prices, index, record.lots, record.lots_ticks)
    exact = evaluation.Ledger(tape.instrument, fee_bp)
    evaluation.score(prices, ours, int(index[-1, -1]) + 1, exact, evaluation.Markouts())
    found = series.ledger(tape, record)
    assert len(ours) > 20
    for name, value in exact.pnl_parts_1e8.items():
        assert found.parts_usd[name][-1] == pytest.approx(value / 1e8, abs=1e-6), name
    assert sum(len(t) for t in found.fill_t_s) == exact.fills


def test_belief_and_targets_are_told_from_the_mid(run):
    tape, record = run
    d = series.decisions(tape, record)
    seen, k = record.seen, np.flatnonzero(record.quotes.surface.has_book)
    mean = np.asarray(seen.belief.mean, float)
    np.testing.assert_allclose(d.v_bp[k], mean[k, 0] - seen.features.mid_bp[k], atol=1e-5)
    sides = np.isfinite(d.target_bp)
    np.testing.assert_array_equal(
        sides, (record.quotes.targets.lots > 0) & d.has_book[:, None, None]
    )
    assert sides.any()
    near = np.abs(d.target_bp[sides]) < 100
    assert near.all()
    np.testing.assert_allclose(d.price[k], 40.0 * np.exp(seen.features.mid_bp[k] / 1e4), rtol=1e-6)


def test_a_side_is_bound_by_the_limit_that_it_fills(run):
    tape, record = run
    rows = np.flatnonzero(tape.events().wake)[: len(record.lots)]
    event = tape.layout.unpack(tape.rows[rows])
    code = ft.partial(binding.bounds, event)
    quotes = record.quotes
    quoted = (quotes.targets.lots > 0).any(axis=2)
    k, side = np.argwhere(quoted)[-1]

    sizes = quotes.allocation
    loose = dataclasses.replace(
        sizes, size_usd=0 * sizes.size_usd + 1e-3, gamma_usd=0 * sizes.gamma_usd
    )
    put = lambda **new: dataclasses.replace(quotes, allocation=dataclasses.replace(loose, **new))
    assert code(put())[k, side] == Bound.FREE
    limit = np.asarray(event.account.gamma_limit_usd)
    assert code(put(gamma_usd=limit))[k, side] == Bound.GAMMA
    full = np.full_like(sizes.size_usd, 1e9)
    kelly = np.ones_like(sizes.cap_is_kelly)
    assert code(put(size_usd=full, cap_is_kelly=kelly))[k, side] == Bound.KELLY
    assert code(put(size_usd=full, cap_is_kelly=~kelly))[k, side] == Bound.ROOM
    gone = np.argwhere(~quoted & np.asarray(quotes.targets.is_valid)[:, None])
    assert not {Bound.FREE} & set(code(quotes)[tuple(gone.T)].tolist())
