"""The chart kit: what is drawn is what was given, and never more than pixels can show."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from diffmm.report import axes, bars, svg, thin
from diffmm.report.svg import Band, Layer, Line, Marks


SVG = "{http://www.w3.org/2000/svg}"


def parsed(figure):
    """The figure as XML; fails where it is not well formed."""
    return ET.fromstring(figure.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def points(figure, kind="line", which=0):
    """Points of a drawn path in data units."""
    root = parsed(figure)
    chart = next(e for e in root.iter(SVG + "svg") if e.get("class") == "chart")
    x0, x1, y0, y1 = map(float, chart.get("data-ends").split())
    left, right, bottom, top = map(float, chart.get("data-box").split())
    path = [e for e in root.iter(SVG + "path") if e.get("class") == kind][which]
    found = np.array(re.findall(r"(-?[\d.e]+) (-?[\d.e]+)", path.get("d")), float)
    x = x0 + (found[:, 0] - left) * (x1 - x0) / (right - left)
    y = y0 + (found[:, 1] - bottom) * (y1 - y0) / (top - bottom)
    return x, y, path


def test_a_long_line_keeps_its_spikes_and_its_ends_and_stays_small():
    x = np.linspace(0.0, 3600.0, 50_000)
    y = np.sin(x / 50)
    y[31_234], y[12_345] = 9.0, -7.0
    figure = svg.line_chart("Wave", x, [Line("y", y, "c1")])
    drawn_x, drawn_y, _ = points(figure)
    assert len(figure) < 40_000
    assert drawn_y.max() == pytest.approx(9.0, abs=0.02)
    assert drawn_y.min() == pytest.approx(-7.0, abs=0.02)
    assert drawn_x[np.argmax(drawn_y)] == pytest.approx(x[31_234], abs=1.0)
    assert (drawn_x[0], drawn_x[-1]) == pytest.approx((0.0, 3600.0), abs=0.5)


def test_a_mean_line_shows_the_mean_of_each_column_and_not_its_extremes():
    x = np.arange(40_000.0)
    y = 5 + np.where(x % 2 == 0, 1.0, -1.0)
    _, drawn, _ = points(svg.line_chart("Zigzag", x, [Line("y", y, "c1", is_mean=True)]))
    np.testing.assert_allclose(drawn, 5.0, atol=0.05)


def test_a_short_line_is_drawn_point_by_point():
    x, y = np.array([0.0, 1.0, 4.0]), np.array([2.0, -1.0, 3.0])
    drawn_x, drawn_y, _ = points(svg.line_chart("Three", x, [Line("y", y, "c1")]))
    np.testing.assert_allclose(drawn_x, x, atol=0.01)
    np.testing.assert_allclose(drawn_y, y, atol=0.02)


def test_a_step_holds_its_value_until_the_next():
    x, y = np.array([0.0, 6.0, 10.0]), np.array([1.0, 3.0, 2.0])
    drawn_x, drawn_y, _ = points(svg.line_chart("Step", x, [Line("y", y, "c1", is_step=True)]))
    np.testing.assert_allclose(drawn_x, [0, 6, 6, 10, 10], atol=0.01)
    np.testing.assert_allclose(drawn_y, [1, 1, 3, 3, 2], atol=0.02)


def test_a_hole_in_the_data_breaks_the_line():
    y = np.ones(100)
    y[40:60] = np.nan
    whole = svg.line_chart("Whole", np.arange(100.0), [Line("y", np.ones(100), "c1")])
    broken = svg.line_chart("Broken", np.arange(100.0), [Line("y", y, "c1")])
    moves = lambda figure: points(figure)[2].get("d").count("M")
    assert (moves(whole), moves(broken)) == (1, 2)


def test_a_band_covers_the_envelope_of_its_series():
    x = np.linspace(0, 10, 30_000)
    wave = np.where(np.arange(30_000) % 3 == 0, 1.0, 0.0)
    figure = svg.line_chart("Band", x, [], bands=[Band("b", -wave - 1, wave + 1, "c1")])
    _, y, _ = points(figure, "band")
    assert (y.min(), y.max()) == pytest.approx((-2.0, 2.0), abs=0.02)


def test_marks_point_up_or_down_at_their_place():
    buys = Marks("buys", np.array([2.0]), np.array([7.0]), "bid", True)
    sells = Marks("sells", np.array([5.0]), np.array([1.0]), "ask", False)
    x = np.arange(11.0)
    figure = svg.line_chart("Fills", x, [Line("p", 3 + 0 * x, "mid")], marks=[buys, sells])
    for which, (at, price, tip) in enumerate(((2.0, 7.0, "l-4.5 7.2"), (5.0, 1.0, "l-4.5 -7.2"))):
        drawn_x, drawn_y, path = points(figure, "mark", which)
        assert (drawn_x[0], drawn_y[0]) == pytest.approx((at, price), abs=0.05)
        assert tip in path.get("d")


def test_shares_that_sum_to_one_fill_a_stack_to_its_top():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 5000)
    layers = [Layer(n, v, n) for n, v in zip(("a", "b", "c"), p.T, strict=True)]
    figure = svg.stacked_area("Modes", np.arange(5000.0), layers)
    _, y, _ = points(figure, "stack", 2)
    np.testing.assert_allclose(y[: len(y) // 2], 1.0, atol=0.01)
    _, first, _ = points(figure, "stack", 0)
    assert first[: len(first) // 2].mean() == pytest.approx(p[:, 0].mean(), abs=0.02)


def test_a_strip_cuts_each_column_by_the_share_of_its_codes():
    codes = np.tile([0, 0, 0, 1], 4000)
    names = [Layer("free", np.array(0), "free"), Layer("limit", np.array(1), "c1")]
    figure = svg.strip_chart("Bound", np.arange(16_000.0), [("bid", codes)], names, height=64)
    drawn = [e.get("d") for e in parsed(figure).iter(SVG + "path") if "--" in e.get("fill", "")]
    tall = [np.mean([float(v) for v in re.findall(r"v([\d.]+)", d)]) for d in drawn]
    assert tall[0] / sum(tall) == pytest.approx(0.75, abs=0.02)
    assert "bid" in figure
    assert len(figure) < 60_000


def test_a_heat_chart_joins_equal_neighbours_and_leaves_zero_blank():
    grid = np.zeros((4, 10))
    grid[1, 2:7], grid[3, 9] = 1.0, 0.1
    figure = svg.heat_chart("Ladder", np.arange(11.0), (-1.0, 1.0), [Layer("bid", grid, "bid")])
    cells = [e for e in parsed(figure).iter(SVG + "path") if e.get("fill-opacity")]
    assert [c.get("fill-opacity") for c in cells] == ["0.2", "1"]
    assert all(c.get("d").count("M") == 1 for c in cells)


def test_a_bar_has_a_whisker_only_where_it_has_an_interval():
    values, low, high = np.array([1.0, -2.0]), np.array([0.5, -2.0]), np.array([1.5, -2.0])
    figure = bars.bar_chart("Markouts", ["1 s", "5 s"], values, low, high)
    assert figure.count('class="whisker"') == 1
    assert "1 s: 1 [0.5, 1.5]" in figure
    assert [e.get("fill") for e in parsed(figure).iter(SVG + "rect")] == [
        "var(--good)",
        "var(--bad)",
    ]


def test_stacked_bars_put_gains_below_zero_and_costs_above():
    layers = [Layer("cost", np.array([2.0]), "c1"), Layer("gain", np.array([-1.0]), "c2")]
    figure = bars.stacked_bars(
        "Terms",
        ["1.0"],
        layers,
        Line("edge", np.array([3.0]), "ink"),
        np.array([True]),
        4.0,
        "size",
    )
    cost, gain = parsed(figure).iter(SVG + "rect")
    bottom = lambda e: float(e.get("y")) + float(e.get("height"))
    assert bottom(cost) == pytest.approx(float(gain.get("y")), abs=0.11)
    assert float(cost.get("height")) == pytest.approx(2 * float(gain.get("height")), abs=0.2)
    assert figure.count('class="dot"') == 1


@pytest.mark.parametrize("y", [np.full(5, np.nan), np.zeros(0)], ids=["all NaN", "empty"])
def test_nothing_to_draw_is_said_and_does_not_fail(y):
    x = np.arange(float(len(y)))
    figures = [
        svg.line_chart("T", x, [Line("y", y, "c1")], bands=[Band("b", y, y, "c1")]),
        svg.stacked_area("T", x, [Layer("a", y, "c1")]),
        bars.bar_chart("T", [str(v) for v in x], y),
    ]
    for figure in figures:
        assert "no finite value in this run" in figure
        parsed(figure)


def test_one_point_and_a_constant_are_drawn():
    for n in (1, 3):
        figure = svg.line_chart("Flat", np.arange(float(n)), [Line("y", np.full(n, 7.0), "c1")])
        np.testing.assert_allclose(points(figure)[1], 7.0, atol=0.02)


def test_names_from_outside_cannot_become_markup():
    hostile = '<script>"x"</script>'
    figure = svg.line_chart(
        hostile, np.arange(3.0), [Line(hostile, np.arange(3.0), "c1")], unit=hostile
    )
    assert "<script" not in figure
    parsed(figure)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.1), (-3.7, 12.9), (109_740, 109_790), (1e-7, 4e-7)]
)
def test_ticks_are_round_inside_the_range_and_told_apart(low, high):
    at = axes.ticks(low, high)
    assert 3 <= len(at) <= 7
    assert at.min() >= low - 1e-9 * abs(low)
    assert at.max() <= high + 1e-9 * abs(high)
    texts = axes.labels(at)
    assert len(set(texts)) == len(texts)
    np.testing.assert_allclose(
        [float(t.replace(",", "")) for t in texts], at, rtol=1e-9, atol=1e-12
    )


def test_time_ticks_read_like_a_clock():
    at = axes.time_ticks(0.0, 2088.0)
    assert axes.time_labels(at)[:3] == ["0:00", "5:00", "10:00"]
    assert axes.clock(3725.0) == "1:02:05"


def test_extremes_of_a_column_are_its_smallest_and_largest_row():
    x = np.arange(1000.0)
    y = np.random.default_rng(1).normal(size=1000)
    rows = thin.extremes(x, y, 0.0, 1000.0, 10)
    for k in range(10):
        column = y[100 * k : 100 * (k + 1)]
        inside = y[rows[(rows >= 100 * k) & (rows < 100 * (k + 1))]]
        assert (inside.min(), inside.max()) == (column.min(), column.max())
    assert len(rows) <= 22


def test_an_axis_that_is_not_time_has_plain_numbers():
    x = np.linspace(0, 1, 20)
    one = lambda is_time: svg.line_chart("t", x, [svg.Line("a", x, "c1")], is_time=is_time)
    assert ">0.2 s<" in one(True)
    assert ">0.2 s<" not in one(False)
    assert ">0.2<" in one(False)
