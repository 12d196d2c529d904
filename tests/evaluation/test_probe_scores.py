"""What became of probe quotes, put together by hand, and whether the scores see it."""

import dataclasses

import numpy as np
import pytest

from diffmm.evaluation import bars, probe_scores
from diffmm.evaluation.probe_scores import Outcomes, Placed, Said


SHAPE = (2, 2, 1)
"""Two probes, two sides, one depth."""


def said(**values):
    flat = dict.fromkeys(Said._fields, 0.0) | {"is_valid": True} | values
    return Said(**{k: np.broadcast_to(v, SHAPE) for k, v in flat.items()})


def outcomes(one, lots, mark_bp, **values):
    placed = Placed(np.array([1, 3]), np.array([0, 1]), np.full(SHAPE, 4.0))
    got = probe_scores.filled(placed, probe_scores.hits(lots), mark_bp)
    named = {
        "time_s": np.array([10.0, 20.0]),
        "anchor_bp": np.array([0.0, 100.0]),
        "mid_bp": np.array([0.0, 100.0]),
        "is_kept": np.array([True, True]),
        "is_scored": np.array([True, True]),
        "group": 0,
    }
    return probe_scores.outcomes(one, placed, got, **named | values)


def lots_of(*fills):
    """Fills `(row, phase, side, lots)` on six rows."""
    out = np.zeros((6, 2, 1, 2), int)
    for row, phase, side, n in fills:
        out[row, phase, 0, side] += n
    return out


PRICE = np.array([-5.0, 5.0])[None, :, None]


def test_a_fill_belongs_to_the_last_probe_of_its_phase_and_is_marked_at_its_own_row():
    mark = np.array([0.0, 0.0, 1.0, 2.0, 97.0, 0.0])
    lots = lots_of((2, 0, 1, 1), (3, 0, 1, 3), (4, 1, 0, 2))
    found = outcomes(said(price_bp=PRICE), lots, mark)
    assert found.is_filled.tolist() == [0, 1, 1, 0]
    assert found.share.tolist() == [0, 1, 0.5, 0]
    # The ask at 5 sold one lot worth 1 and three worth 2; the bid bought at 95 what is worth 97.
    assert found.edge_bp.tolist() == [0, 5 - 1.75, 2.0, 0]
    assert found.away_bp.tolist() == [5.0] * 4


def test_a_row_at_which_a_probe_is_placed_still_belongs_to_the_one_before():
    placed = Placed(np.array([1, 3]), np.array([0, 0]), np.full(SHAPE, 4.0))
    total, _ = probe_scores.filled(placed, probe_scores.hits(lots_of((3, 0, 1, 2))), np.zeros(6))
    assert total[:, 1, 0].tolist() == [2, 0]


def test_what_was_said_is_the_surface_s_income_and_costs_in_their_places():
    one = said(
        price_bp=PRICE,
        fill=0.3,
        sniped=0.1,
        edge_bp=4.0,
        gm_bp=1.0,
        option_bp=0.2,
        paid_bp=0.5,
        feared_bp=0.4,
        epnl_bp=-0.7,
    )
    found = outcomes(one, lots_of((2, 0, 1, 4)), np.zeros(6))
    assert found.p == pytest.approx([1 - 0.7 * 0.9] * 4)
    assert found.edge_said_bp == pytest.approx([(0.3 * 3.0 - 0.2) / 0.4] * 4)
    assert found.pnl_bp == pytest.approx([0, 5 - 0.5 - 0.4 * 0.75, 0, 0])
    assert found.epnl_bp.tolist() == [-0.7] * 4


def test_a_broken_probe_and_a_repeated_price_are_left_out():
    valid = np.array([[[True], [False]], [[True], [True]]])
    found = outcomes(said(is_valid=valid), lots_of(), np.zeros(6))
    assert len(found.p) == 3
    kept = outcomes(said(), lots_of(), np.zeros(6), is_kept=np.array([False, True]))
    assert kept.time_s.tolist() == [20.0, 20.0]


def drawn(n=30_000, seed=3, doubled=1.0):
    """Probes whose outcomes follow what is said, P times `doubled` said."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, n) / 2
    edge, hit = rng.normal(1, 2, n), (rng.random(n) < p).astype(float)
    came = hit * (edge + rng.normal(0, 3, n))
    return Outcomes(
        np.arange(n) / 5,
        np.zeros(n, int),
        rng.integers(0, 4, n),
        np.ones(n),
        np.arange(n) > n // 3,
        doubled * p,
        p,
        edge,
        p * edge,
        hit,
        hit,
        came,
        came,
    )


def test_a_surface_that_is_right_has_slopes_of_one():
    found = probe_scores.scores(drawn())
    for name in ("p_fill", "edge_given_fill", "expected_pnl"):
        assert found[name]["low"] < 1 < found[name]["high"], name
    assert found["p_fill"]["brier_skill_low"] > 0
    assert found["p_fill"]["brier_base"] == "the part before"
    assert found["p_fill"]["ece"] < 0.02
    assert found["edge_given_fill"]["bias_low"] < 0 < found["edge_given_fill"]["bias_high"]
    assert found["expected_pnl"]["top_minus_bottom"]["low"] > 0
    assert bars.SYNTHETIC[0].verdict(found) != "fails"
    assert bars.RECORDED[0].verdict(found) == "passes"


def test_a_surface_that_says_twice_as_much_fails_every_bar_of_the_probability():
    found = probe_scores.scores(drawn(doubled=2.0))
    assert found["p_fill"]["slope"] == pytest.approx(0.5, abs=0.05)
    assert found["p_fill"]["level"] == pytest.approx(0.5, abs=0.05)
    judged = bars.verdicts(bars.RECORDED, found, {"prints": {"0.5": found}}, {})
    for name in ("p_fill.slope", "p_fill.ece", "p_fill.level"):
        assert judged[name]["verdict"] == judged[name]["by_rule"]["prints"]["0.5"] == "fails"


def test_only_the_scored_part_is_scored_and_depths_are_told_apart():
    found = drawn()
    later = found.where(found.is_scored)
    spoiled = dataclasses.replace(found, is_filled=np.where(found.is_scored, found.is_filled, 1.0))
    a, b = (probe_scores.scores(x)["p_fill"] for x in (found, spoiled))
    assert (a["slope"], a["n"]) == (b["slope"], b["n"]) == (a["slope"], len(later.p))
    assert a["brier_skill"] < b["brier_skill"]
    assert sum(x["n"] for x in probe_scores.by_depth(found)) == len(later.p)
    alone = probe_scores.scores(later)["p_fill"]
    assert alone["brier_base"] == "the scored part itself"
