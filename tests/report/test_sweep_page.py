"""The page of a sweep: what is said before any figure, and nothing from elsewhere."""

import pytest

from diffmm.report.sweep import label, write_sweep
from diffmm.training import comparison


def result(trial, seed, pnl, **values):
    return {
        "trial": trial,
        "seed": seed,
        "values": values,
        "pnl_usd_per_hour": pnl,
        "pnl_parts_usd_per_hour": {"spread": pnl, "fees": 0.0},
        "fills_per_hour": 1.0,
        "drawdown_usd": 2.0,
        "max_abs_position_usd": 3.0,
        "nonfinite": 0,
    }


SUMMARY = {
    "trials": 4,
    "done": 4,
    "failed": {},
    "configurations": 2,
    "seeds": 2,
    "batches": 2,
    "programs": 1,
    "configuration_events_per_s": None,
}
PAIR = [result(0, 0, 10.0, x="<b>"), result(1, 1, 30.0, x="<b>")]
RESULTS = [*PAIR, result(2, 0, 11.0, x=1.5), result(3, 1, 31.5, x=1.5)]


@pytest.fixture
def page(tmp_path):
    def write(results, **summary):
        found = comparison.compare(results)
        write_sweep(tmp_path / "a.html", "a <title>", SUMMARY | summary, found, "x = 1", "diffmm")
        return (tmp_path / "a.html").read_text()

    return write


def test_the_best_is_first_with_a_warning_that_it_was_chosen(page):
    text = page(RESULTS)
    assert "its figure flatters it" in text
    assert "<b>&lt;" not in text
    assert "a &lt;title&gt;" in text
    assert "+1.25" in text


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ({"done": 3}, "3 of 4 trials are finished"),
        ({"failed": {2: "broken"}}, "1 trials could not be played"),
        ({"seeds": 1}, "the order is noise"),
    ],
)
def test_what_makes_the_figures_weak_is_said(page, summary, said):
    assert said in page(RESULTS, **summary)


def test_without_results_there_is_a_page_that_says_so(page):
    assert "0 of 4 trials are finished" in page([], done=0)


def test_a_label_is_short(page):
    assert label({"pricing.offset_bp": 0.123456, "world.name": "thin"}) == (
        "offset_bp 0.1235, name thin"
    )
    assert label({}) == "as it is"
