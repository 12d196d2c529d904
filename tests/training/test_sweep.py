"""A sweep as trials, batches, files and a comparison; nothing is compiled here."""

import json
import math

import pytest

from diffmm.core import declarations
from diffmm.training import axes, comparison, experiment_file, sweep
from diffmm.training.experiment_file import ExperimentError
from diffmm.training.trials import SweepFolder


def experiment(**table):
    base = {
        "experiment": {"name": "a"},
        "world": {"name": "busy"},
        "sweep": {"seeds": [3, 5], **table},
    }
    return experiment_file.convert(base, "a test")


def values(**table):
    return [x.values for x in sweep.trials(experiment(**table))][::2]


GRID = {"pricing.offset_bp": [0.0, 1.0], "world.room_usd": [100.0, 200.0, 300.0]}


def test_a_grid_is_every_combination_and_every_configuration_meets_every_seed():
    found = sweep.trials(experiment(axes=GRID))
    assert [x.number for x in found] == list(range(12))
    assert [x.seed for x in found] == [3, 5] * 6
    assert found[2].values == {"pricing.offset_bp": 0.0, "world.room_usd": 200.0}
    assert found[11].experiment.world.room_usd == 300.0
    assert found[11].experiment.settings() == ["pricing.offset_bp=1.0"]


def test_zip_takes_the_kth_of_each_and_refuses_unequal_lengths():
    even = {"pricing.offset_bp": [0.0, 1.0], "risk.holding_s": [10, 20]}
    assert values(mode="zip", axes=even) == [
        {"pricing.offset_bp": 0.0, "risk.holding_s": 10},
        {"pricing.offset_bp": 1.0, "risk.holding_s": 20},
    ]
    with pytest.raises(ExperimentError, match="expected as many"):
        values(mode="zip", axes=GRID)


def test_a_list_takes_tables_and_a_bare_dotted_key_means_the_same_path():
    some = [{"pricing.offset_bp": 1.0}, {"pricing": {"offset_bp": 2.0}}, {}]
    assert values(mode="list", trials=some) == [
        {"pricing.offset_bp": 1.0},
        {"pricing.offset_bp": 2.0},
        {},
    ]


def test_ranges_have_their_ends_exactly_and_a_geometric_one_has_equal_ratios():
    found = values(axes={"risk.holding_s": {"logspace": [10, 40, 3]}})
    told = [x["risk.holding_s"] for x in found]
    assert (told[0], told[2]) == (10.0, 40.0)
    assert told[1] == pytest.approx(20.0)
    found = values(axes={"pricing.offset_bp": {"linspace": [-1, 1, 5]}})
    assert [x["pricing.offset_bp"] for x in found] == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_a_random_sweep_is_the_same_twice_and_stays_in_its_ranges():
    asked = {
        "mode": "random",
        "draws": 50,
        "axes": {
            "risk.holding_s": {"logspace": [10, 1000, 2]},
            "pricing.offset_bp": [0.0, 1.0],
        },
    }
    found = values(**asked)
    assert found == values(**asked)
    held = [x["risk.holding_s"] for x in found]
    assert all(10 <= x <= 1000 for x in held)
    # Half of a geometric range lies below its geometric middle.
    assert 15 < sum(x < 100 for x in held) < 35
    assert {x["pricing.offset_bp"] for x in found} == {0.0, 1.0}
    assert len({math.log(x) for x in held}) == 50


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"axes": {"pricing.offst_bp": [1.0]}}, r"no parameter.*near it: pricing\.offset_bp"),
        ({"axes": {"nowhere": [1.0]}}, "is no parameter and no choice"),
        ({"axes": {"train.learning_rate": [0.1]}}, "does not read it.*diffmm train --set"),
        ({"axes": {"objective.aversion": [0.1]}}, "does not read it"),
        ({"axes": {"engine.inside": [3]}}, "does not read it"),
        ({"axes": {"pricing.sniping": [2.0]}}, "expected a"),
        ({"axes": {"pricing.offset_bp": ["far"]}}, "is no number"),
        ({"axes": {"world.room_usd": [-1.0]}}, r"world\.room_usd = -1"),
        ({"axes": {"engine.size": ["huge"]}}, "Invalid enum value"),
        ({"axes": {"belief.modes": ["two"]}}, "expected int as 2 is"),
        ({"axes": {"pricing.offset_bp": {"linspace": [0, 1]}}}, "expected a list, linspace"),
        ({"axes": {"risk.holding_s": {"logspace": [0, 1, 3]}}}, "0 < a < b"),
        ({"axes": {"pricing.offset_bp": []}}, "expected a list"),
        ({"axes": {"pricing.offset_bp": 1.0}}, "expected a list of values"),
        ({"axes": {}}, r"takes sweep\.axes"),
        ({"mode": "list", "axes": GRID}, r"takes sweep\.trials"),
        ({"seeds": [1, 1], "axes": GRID}, "expected different seeds"),
    ],
)
def test_what_leads_nowhere_is_refused_before_anything_runs(table, said):
    with pytest.raises(ExperimentError, match=said):
        sweep.trials(experiment(**table))


def test_without_a_sweep_there_is_none():
    asked = experiment_file.convert(
        {"experiment": {"name": "a"}, "world": {"name": "busy"}}, "a test"
    )
    with pytest.raises(ExperimentError, match=r"no \[sweep\]"):
        sweep.trials(asked)


def test_every_kind_of_axis_has_its_place_and_a_static_one_changes_the_configuration():
    from diffmm.core import defaults
    from diffmm.engine import graph

    names = [name for name, _ in declarations(defaults(graph.Params))]
    assert {axes.place(x) for x in names} == {axes.PARAMETER}
    assert axes.place("belief.modes") == axes.STATIC
    assert axes.place("fills.order_latency_ms") == axes.ENTRY
    one, two = (sweep.trials(experiment(axes={"belief.fills": [True, False]}))[k] for k in (0, 2))
    assert one.program != two.program
    made = [sweep.config(x.experiment, x.static).engine.belief.fills for x in (one, two)]
    assert made == [True, False]


def test_rows_of_a_batch_share_market_and_program_and_all_batches_of_a_program_one_width():
    found = sweep.trials(
        experiment(axes={"pricing.offset_bp": [0.0, 1.0, 2.0], "world.room_usd": [1e3, 2e3]})
    )
    made = sweep.batches(found, 2)
    assert sorted(x.number for b in made for x in b.trials) == list(range(12))
    for batch in made:
        assert len({x.market for x in batch.trials}) == 1
        assert batch.width == 2
    assert [len(b.trials) for b in made] == [2, 1] * 4
    assert {b.width for b in sweep.batches(found, 8)} == {3}


def test_latencies_are_another_market_and_no_other_program():
    a, b = sweep.trials(experiment(seeds=[0], axes={"fills.order_latency_ms": [50.0, 350.0]}))
    assert a.program == b.program
    assert a.market != b.market
    assert float(sweep.rule(a.experiment).order_latency_ms) == 50.0


def test_a_trial_survives_the_way_to_another_process():
    for trial in sweep.trials(experiment(axes={"belief.fills": [False], "risk.holding_s": [9.0]})):
        again = sweep.Trial.of(json.loads(json.dumps(trial.plain())))
        assert again == trial


@pytest.fixture
def opened(tmp_path):
    asked = experiment(axes=GRID)
    every = sweep.trials(asked)
    return SweepFolder.open(tmp_path, asked, every, {"source": "x"}), asked, every


def test_a_trial_is_finished_only_with_its_done(opened):
    folder, _, every = opened
    folder.put(every[3], {"trial": 3})
    folder.fail(every[4], "broken")
    assert [x.number for x in every if folder.is_done(x.number)] == [3]
    assert folder.failures() == {4: "broken"}
    folder.put(every[4], {"trial": 4})
    assert folder.failures() == {}
    assert folder.write_table() == [{"trial": 3}, {"trial": 4}]
    (folder.folder(3) / "DONE").unlink()
    assert folder.results() == [{"trial": 4}]
    assert not folder.is_done(3)


def test_the_same_sweep_has_the_same_folder_and_another_source_is_refused(opened, tmp_path):
    folder, asked, every = opened
    assert SweepFolder.open(tmp_path, asked, every, {"source": "x"}).path == folder.path
    with pytest.raises(ExperimentError, match="another source, which cannot be compared"):
        SweepFolder.open(tmp_path, asked, every, {"source": "y"})


def result(trial, seed, pnl, **values):
    return {
        "trial": trial,
        "seed": seed,
        "values": values,
        "pnl_usd_per_hour": pnl,
        "pnl_parts_usd_per_hour": {"spread": pnl},
        "fills_per_hour": 1.0,
        "drawdown_usd": 2.0,
        "max_abs_position_usd": 3.0,
        "nonfinite": 0,
    }


def test_configurations_are_compared_seed_by_seed_with_the_first():
    found = comparison.compare(
        [
            result(0, 0, 10.0, x=0),
            result(1, 1, 30.0, x=0),
            result(2, 0, 11.0, x=1),
            result(3, 1, 31.5, x=1),
        ]
    )
    best, first = found
    assert (best["values"], first["values"]) == ({"x": 1}, {"x": 0})
    assert best["against_first"]["value"] == 1.25
    # The seeds differ by 20, the pairs by half a dollar: the pairs are what is judged.
    assert best["against_first"]["low"] == pytest.approx(1.25 - 6.314 * 0.25)
    assert first["against_first"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 2}


def test_one_seed_gives_no_interval_and_a_seed_that_is_missing_no_pair():
    (only,) = comparison.compare([result(0, 0, 10.0, x=0)])
    assert only["pnl_usd_per_hour"] == {"value": 10.0, "low": None, "high": None, "n": 1}
    found = comparison.compare([result(0, 0, 10.0, x=0), result(3, 1, 31.0, x=1)])
    assert found[0]["against_first"]["n"] == 0
    assert comparison.compare([]) == []
