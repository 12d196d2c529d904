"""The live step from its exported bytes: the same decisions, or none, or traced with a word."""

import json

import jax
import numpy as np
import pytest

import small_run
from diffmm.cli import checkpoints
from diffmm.engine import exported, stepper
from diffmm.training import CheckpointError, export, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported checkpoint in the small sizes."""
    home = tmp_path_factory.mktemp("checkpoints")
    save(home / "plain", small_run.params()[0], {"source": "a test"})
    export.write(home / "plain", home / "out", small_run.config())
    return home / "out"


@pytest.fixture
def changed(folder):
    """Rewrites the header with other values, its seal made anew; puts the old one back."""
    at = folder / export.FOLDER / export.HEADER
    original = at.read_text()

    def rewrite(**values):
        header = json.loads(original) | values
        header.pop("sha256")
        at.write_text(json.dumps(header | {"sha256": exported.digest(header)}))

    yield rewrite
    at.write_text(original)


def load(folder, **other):
    params, rule = small_run.params()
    return export.load(folder, params, rule, other.get("config", small_run.config()))


def decisions(step):
    params, rule = small_run.params()
    tape, _ = small_run.run()
    made = stepper.Stepper(params, rule, small_run.config(), step)
    return made.replay(tape.frames(40))


@pytest.mark.slow
def test_exported_programs_decide_as_the_traced_ones_to_the_last_bit(folder):
    traced, loaded = decisions(None), decisions(load(folder))
    pairs = zip(jax.tree.leaves(traced), jax.tree.leaves(loaded), strict=True)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    assert (np.asarray(loaded.quotes.targets.lots) > 0).any()


@pytest.mark.parametrize("orders", ["live", "shadow"])
@pytest.mark.parametrize("part", export.PARTS)
def test_one_flipped_bit_in_a_program_is_refused_and_the_file_named(folder, orders, part):
    file = folder / export.FOLDER / f"{orders}.{part}.stablehlo"
    original = file.read_bytes()
    data = bytearray(original)
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    try:
        with pytest.raises(CheckpointError, match=file.name):
            export.verify(folder)
        if orders == "shadow":
            with pytest.raises(CheckpointError, match=file.name):
                load(folder)
    finally:
        file.write_bytes(original)
    export.verify(folder)


def test_a_header_that_was_written_by_hand_or_for_another_checkpoint_is_refused(folder, changed):
    at = folder / export.FOLDER / export.HEADER
    at.write_text(at.read_text().replace('"platform": "cpu"', '"platform": "gpu"'))
    with pytest.raises(CheckpointError, match="is not the file that was written"):
        load(folder)
    changed(checkpoint="0" * 64)
    with pytest.raises(CheckpointError, match="belongs to another checkpoint"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("jax", "0.9.0"), ("jaxlib", "0.9.0"), ("platform", "rocm"), ("source", "x"), ("x64", True)],
)
def test_another_version_platform_or_source_is_named_and_not_run(folder, changed, name, value):
    changed(**{name: value})
    with pytest.raises(export.MismatchError, match=f"{name} is {value} there and "):
        load(folder)


def test_another_choice_of_sizes_is_named_and_not_run(folder):
    import dataclasses

    other = dataclasses.replace(small_run.config(), frame_rows=5)
    with pytest.raises(export.MismatchError, match=r"config\.frame_rows is 4 there and 5 here"):
        load(folder, config=other)


@pytest.mark.slow
def test_what_does_not_fit_is_traced_with_a_word(folder, changed, capsys):
    changed(jaxlib="0.9.0")
    params, rule = small_run.params()
    found = checkpoints.Found(folder, "a test")
    made = checkpoints.stepper(found, params, rule, small_run.config())
    said = capsys.readouterr().err
    assert "jaxlib is 0.9.0 there and" in said
    assert "traced here instead" in said
    tape, _ = small_run.run()
    assert len(made.replay(tape.frames(3)).lots) == 3


def test_bytes_that_are_no_program_or_one_of_other_shapes_are_refused(folder):
    params, rule = small_run.params()
    step = stepper.step_of(params, rule, small_run.config())
    with pytest.raises(ValueError, match="no exported program"):
        exported.from_bytes(b"not a program", step.observe)
    other = (folder / export.FOLDER / "shadow.decide.stablehlo").read_bytes()
    with pytest.raises(ValueError, match="expected"):
        exported.from_bytes(other, step.observe)
