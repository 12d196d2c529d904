"""The law of the session: lines over a socket give what a replay of them gives; and how it ends."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import sessions
from diffmm import live
from diffmm.core import defaults
from diffmm.engine import graph, loop
from diffmm.evaluation.decisions import quotes_digest
from diffmm.simulation import hard_fills
from diffmm.venues import tape_io
from diffmm.venues.local import serve_tape
from sessions import NS


ROOT = pathlib.Path(__file__).parents[2]
TAPE = ROOT.parent / "shared" / "data" / "hyperliquid_20250904_BTC_ETH_SOL_WLFI.jsonl.gz"


def streamed(tmp_path, lines, speed=float("inf"), **keywords):
    inside = sessions.core(tmp_path, **keywords)
    end, _ = sessions.run(serve_tape(list(lines), speed=speed), inside)
    assert end is live.End.TAPE
    return inside


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    return streamed(tmp_path_factory.mktemp("thin"), sessions.market(60.0))


def test_lines_through_the_socket_give_the_targets_of_their_replay(thin):
    encoder = thin.intake.encoder
    tape, _, _ = tape_io.encode(
        sessions.market(60.0), encoder.instrument, sessions.ACCOUNT, encoder.config
    )
    np.testing.assert_array_equal(np.stack(thin.rows), tape.rows)
    replayed = sessions.fresh().replay(tape.frames())
    assert replayed.lots.sum() > 0
    jax.tree.map(np.testing.assert_array_equal, thin.record(), replayed)


def test_a_compiled_scan_over_the_tape_says_nearly_the_same(thin):
    """Rounded otherwise: a size may be a lot apart, and a closed loop carries it on."""
    params, rule = defaults(graph.Params), defaults(hard_fills.Params)
    _, scanned = loop.replay(params, rule, thin.tape().frames(), config=sessions.SMALL)
    (a_ticks, a_lots), (b_ticks, b_lots) = map(sessions.targets, (thin.record(), scanned))
    same = ((a_ticks == b_ticks) & (a_lots == b_lots)).all(axis=(1, 2))
    assert (a_lots > 0).any()
    assert same.mean() > 0.99


@pytest.mark.parametrize("speed", [float("inf"), 40.0])
def test_the_same_lines_give_the_identical_digest_at_any_speed(thin, tmp_path, speed):
    again = streamed(tmp_path, sessions.market(60.0), speed)
    digest = lambda inside: quotes_digest(*sessions.targets(inside.record()))
    assert digest(again) == digest(thin)
    assert thin.ledger.fills > 0
    assert again.ledger.pnl_parts_1e8 == thin.ledger.pnl_parts_1e8


def test_a_journal_holds_the_lines_and_the_decisions_of_its_run(thin):
    told = live.journal.read(thin.journal.path)
    lines = [f"{e['ns']} {e['raw']}" for e in told if e["t"] == "line"]
    assert tuple(lines) == sessions.market(60.0)
    decisions = [e for e in told if e["t"] == "decision"]
    _, lots = sessions.targets(thin.record())
    np.testing.assert_array_equal([e["lots"] for e in decisions], lots)
    placed = [i for e in decisions for i in e["intents"] if "place" in i]
    assert [i["place"] for i in placed] == list(range(1, len(placed) + 1))
    assert all(i["terms"]["epnl_usd"] == i["terms"]["epnl_usd"] for i in placed)
    assert sum(len(e["intents"]) for e in decisions) == thin.orders.intents
    assert told[-1] == {"t": "end", "ns": thin.now_ns, "why": "TAPE"}


def test_the_status_ledger_and_the_summary_count_the_same_money(thin):
    from diffmm.report.summary import score

    scored = score(thin.tape(), thin.record(), sessions.ACCOUNT)
    assert scored.ledger.fills == thin.ledger.fills
    assert scored.ledger.position == thin.ledger.position
    one, other = scored.ledger.pnl_parts_1e8, thin.ledger.pnl_parts_1e8
    assert [one[x] for x in ("spread", "fees")] == [other[x] for x in ("spread", "fees")]


def test_session_time_is_tape_time(tmp_path):
    lines = list(sessions.market())
    inside = sessions.core(tmp_path)
    end, _ = sessions.run(serve_tape(lines, speed=float("inf")), inside, for_ns=10 * NS)
    assert end is live.End.DONE
    due = [x for x in lines if sessions.stamp(x) - sessions.stamp(lines[0]) <= 10 * NS]
    heard = [e for e in live.journal.read(inside.journal.path) if e["t"] == "line"]
    assert len(heard) == len(due) < len(lines)


def test_a_requested_stop_ends_the_run_cleanly(tmp_path):
    inside = sessions.core(tmp_path)
    end, said = sessions.run(serve_tape(sessions.market(), speed=1.0), inside, after=0.7)
    assert end is live.End.STOPPED
    assert live.journal.read(inside.journal.path)[-1]["why"] == "STOPPED"
    assert "mid " in said


@pytest.mark.slow
def test_a_recorded_market_through_the_socket_gives_the_targets_of_its_replay():
    if not TAPE.exists():
        pytest.skip("the shared recordings are absent beside the checkout")
    words = [str(TAPE), "WLFI", "180", str(ROOT / ".cache" / "jax")]
    script = [sys.executable, str(ROOT / "tests" / "parity.py"), *words]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows_equal"]
    assert told["quoted"] > 0.2
    assert told["fills"] > 0
    assert told["same"]
