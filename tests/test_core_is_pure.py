"""The trading core reads no clock, draws no number, opens nothing, and iterates over no set."""

import ast
import pathlib

import pytest


LIVE = pathlib.Path(__file__).parents[1] / "src" / "diffmm" / "live"
CORE = (
    "events quoter dealer trader desk blotter books audit gate limits wire recovery assemble"
).split()
MODULES = {
    "time",
    "datetime",
    "random",
    "uuid",
    "secrets",
    "threading",
    "asyncio",
    "socket",
    "http",
    "os",
    "subprocess",
}
CALLS = {"open", "print", "input", "id", "hash"}
EXACT = "desk blotter books audit gate recovery".split()


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_and_calls_nothing_that_is_not_given_to_it(name):
    tree = ast.parse((LIVE / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not MODULES & {x.name.split(".")[0] for x in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] not in MODULES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in CALLS, f"{name}.py:{node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("name", CORE)
def test_the_core_never_iterates_over_a_set(name):
    """Their order changes from one process to the next."""
    tree = ast.parse((LIVE / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension):
            assert not isinstance(node.iter, ast.Set | ast.SetComp), f"{name}.py:{node.lineno}"
            is_set = isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") in (
                "set",
                "frozenset",
            )
            assert not is_set


@pytest.mark.parametrize("name", EXACT)
def test_what_decides_about_money_knows_no_float(name):
    tree = ast.parse((LIVE / f"{name}.py").read_text())
    for node in ast.walk(tree):
        is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
        assert not is_float, f"{name}.py:{node.lineno} holds a float"
        assert not isinstance(node, ast.Div), f"{name}.py divides"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "float", f"{name}.py:{node.lineno} makes a float"
