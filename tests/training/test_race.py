"""Searches side by side: what a bar costs, seed by seed, and what is refused."""

import pytest

from diffmm.report.race import write_race
from diffmm.training import race


def result(method, seed, values, end, step=100.0, forwards=1.0, **more):
    """A curve with a point every `step` simulated events."""
    points = [
        {"simulated": k * step, "charged": k * step * forwards, "wall_s": 1.0 * k, "hard_usd": x}
        for k, x in enumerate(values, 1)
    ]
    return {
        "experiment": "e",
        "world": "busy",
        "objective": "mean",
        "method": method,
        "seed": seed,
        "start_usd": 0.0,
        "end_usd": end,
        "simulated": points[-1]["simulated"],
        "charged": points[-1]["charged"],
        "wall_s": points[-1]["wall_s"],
        "curve": points,
    } | more


CMA = [result("cma", k, [1.0, 5.0, 8.0, 9.0, 10.0 + k], 10.0 + k) for k in range(3)]


def test_a_bar_is_the_references_last_value_less_its_share_on_either_side_of_zero():
    assert race.bar_of(CMA[0]["curve"]) == pytest.approx(9.95)
    assert race.bar_of(result("cma", 0, [-10.0], -10.0)["curve"]) == pytest.approx(-10.05)


def test_the_first_point_at_the_bar_is_what_it_cost():
    curve = result("grad", 0, [3.0, 9.96, 2.0, 12.0], 12.0, step=10.0, forwards=4.0)["curve"]
    assert race.cost_of(curve, 9.95) == (20.0, 80.0)
    assert race.cost_of(curve, 11.0) == (40.0, 160.0)
    assert race.cost_of(curve, 13.0) == (float("inf"), float("inf"))


def test_shares_are_of_the_same_seed_and_their_median_is_told():
    grads = [
        result("grad", 0, [9.96], 9.0, step=10.0, forwards=4.0),
        result("grad", 1, [0.0, 0.0, 11.5], 12.5, step=10.0, forwards=4.0),
        result("grad", 2, [0.0, 12.0], 13.0, step=10.0, forwards=4.0),
    ]
    told = race.compare([*CMA, *grads])["against"]["grad"]
    assert told["reached"] == 3
    assert told["simulated_share"] == pytest.approx(20 / 500)
    assert told["charged_share"] == pytest.approx(80 / 500)
    assert told["end_less_reference_usd"]["value"] == pytest.approx((-1.0 + 1.5 + 1.0) / 3)


def test_a_bar_most_seeds_miss_has_no_share():
    grads = [result("grad", k, [1.0], 1.0) for k in range(2)] + [result("grad", 2, [20.0], 20.0)]
    told = race.compare([*CMA, *grads])["against"]["grad"]
    assert (told["reached"], told["simulated_share"], told["charged_share"]) == (1, None, None)


def test_without_the_reference_there_are_curves_and_no_bar():
    told = race.compare([result("random", 0, [1.0, 2.0], 2.0)])
    assert told["against"] == {}
    assert [x["hard_usd"] for x in told["curves"][0]["points"]] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([], "no result.json"),
        ([CMA[0], CMA[0]], "cma has seed 0 twice"),
        ([CMA[0], result("grad", 0, [1.0], 1.0, world="thin")], "world busy, thin"),
        ([CMA[0], result("grad", 0, [1.0], 1.0, objective="cvar")], "objective cvar, mean"),
    ],
)
def test_what_cannot_be_set_side_by_side_is_refused(results, said):
    with pytest.raises(race.RaceError, match=said):
        race.compare(results)


def test_the_page_shows_each_method_once_and_says_who_missed_the_bar(tmp_path):
    told = race.compare([*CMA, result("grad", 0, [1.0, 2.0], 2.0)])
    write_race(tmp_path / "a.html", "a <title>", told, "diffmm compare <dir>")
    text = (tmp_path / "a.html").read_text()
    assert "a &lt;title&gt;" in text
    assert "&lt;dir&gt;" in text
    assert text.count('data-name="cma"') == 3
    assert "not reached" in text
    assert "0 of 1" in text
