"""What may go wrong with a feed, over a real socket: counted, journaled, pulled, resumed."""

import asyncio
import time

import numpy as np
import pytest

import sessions
from diffmm import live
from sessions import bbo, NS, scripted, sends, stamp


CUT = 40
"""Lines before the fault; the session quotes by then."""


def before_and_after():
    lines = list(sessions.market())
    return lines[:CUT], lines[CUT:]


def one_fault(tmp_path, *wrong):
    """A session with odd frames between two good parts of a market."""
    head, tail = before_and_after()
    odd = [f"{stamp(head[-1])} {frame}" for frame in wrong]
    inside = sessions.core(tmp_path)
    end, _ = sessions.run(scripted(sends([*head, *odd, *tail])), inside)
    assert end is live.End.TAPE
    return inside


def pulled_once_and_resumed(inside):
    """Quotes were valid, then not, then valid again until the end."""
    valid = sessions.is_valid(inside)
    changes = np.flatnonzero(np.diff(valid.astype(int)))
    assert valid[-1]
    assert np.diff(valid.astype(int))[changes].tolist() in ([-1, 1], [1, -1, 1])
    at, fallen = changes[-2] + 1, inside.record()
    assert not fallen.quotes.targets.lots[at].any()
    assert not fallen.standing_lots[at].any()


def faults(inside, kind):
    told = [e for e in live.journal.read(inside.journal.path) if e["t"] == "fault"]
    return [e for e in told if e["kind"] == kind]


MALFORMED = {
    "no json": "{",
    "no object": "[1,2]",
    "no channel": "{}",
    "wrong type": '{"channel":"bbo","data":{"coin":"SIM","time":"x","bbo":[null,null]}}',
    "nan size": bbo(("110", "NaN"), ("111", "1"), 1),
    "negative size": bbo(("110", "-1"), ("111", "1"), 1),
    "infinite price": bbo(("110", "1"), ("1e999", "1"), 1),
    "too deep": "[" * 100_000,
    "control character": '{"channel":"bbo\x00"',
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_frame_pulls_until_the_next_book(tmp_path, frame):
    inside = one_fault(tmp_path, frame)
    assert inside.faults["bad_frame"] == 1
    assert len(faults(inside, "bad_frame")) == 1
    pulled_once_and_resumed(inside)


@pytest.mark.parametrize(
    ("kind", "bid", "ask"),
    [
        ("crossed_books", ("111", "1"), ("110", "1")),
        ("one_sided_books", None, ("111", "1")),
        ("one_sided_books", None, None),
    ],
)
def test_a_crossed_or_empty_book_pulls_until_the_next_book(tmp_path, kind, bid, ask):
    head, _ = before_and_after()
    inside = one_fault(tmp_path, bbo(bid, ask, stamp(head[-1]) // 1_000_000))
    assert inside.faults[kind] >= 1
    assert faults(inside, kind)
    pulled_once_and_resumed(inside)


def test_a_gap_of_stamps_pulls_and_starts_the_belief_anew(tmp_path):
    head, tail = before_and_after()
    later = [f"{stamp(x) + 90 * NS} {x.split(' ', 1)[1]}" for x in tail]
    inside = sessions.core(tmp_path)
    sessions.run(scripted(sends([*head, *later])), inside)
    assert inside.faults["gaps"] == inside.faults["silences"] == 1
    pulled_once_and_resumed(inside)


def test_silence_of_the_tape_pulls_two_seconds_after_the_last_line(tmp_path):
    head, tail = before_and_after()
    later = [f"{stamp(x) + 5 * NS} {x.split(' ', 1)[1]}" for x in tail]
    inside = sessions.core(tmp_path)
    sessions.run(scripted(sends([*head, *later])), inside)
    assert inside.faults["silences"] == 1
    event = inside.tape().events()
    elapsed_s = np.cumsum(event.dt_s)
    lost = int(np.flatnonzero(~event.book.is_valid.any(axis=(1, 2)))[0])
    # The first row comes with the first book, the second line.
    heard_s = (stamp(head[-1]) - stamp(head[1])) / NS
    np.testing.assert_allclose(elapsed_s[lost] - heard_s, 2.0, atol=1e-3)
    pulled_once_and_resumed(inside)


def test_a_killed_socket_is_joined_again_and_its_first_prints_are_history(tmp_path):
    head, tail = before_and_after()
    inside = sessions.core(tmp_path)
    end, said = sessions.run(scripted(sends(head, sessions.kills), sends(tail)), inside)
    assert end is live.End.TAPE
    assert inside.faults["lost_connection"] == inside.faults["reconnects"] == 1
    assert faults(inside, "lost_connection")
    assert inside.intake.encoder.counters.backfilled_trades == 2
    assert "lost" in said
    pulled_once_and_resumed(inside)


def test_every_connection_subscribes_again(tmp_path):
    head, tail = before_and_after()
    heard = []

    def listens(then):
        async def script(socket):
            heard.append([await socket.recv(), await socket.recv()])
            await then(socket)

        return script

    first, second = sends(head, sessions.kills), sends(tail)
    inside = sessions.core(tmp_path)
    sessions.run(scripted(listens(first), listens(second)), inside, asked=("one", "two"))
    assert heard == [["one", "two"], ["one", "two"]]


def test_a_tape_that_starts_over_after_a_loss_is_not_heard_twice(tmp_path):
    lines = list(sessions.market())
    inside = sessions.core(tmp_path)
    sessions.run(scripted(sends(lines[:CUT], sessions.kills), sends(lines)), inside)
    told = live.journal.read(inside.journal.path)
    kept = [e["ns"] for e in told if e["t"] == "line"]
    assert kept == sorted(kept)
    assert len(kept) <= len(lines) + 2


def test_a_loss_is_a_line_so_the_journal_replays_to_the_same_rows(tmp_path):
    from diffmm.venues import tape_io

    head, tail = before_and_after()
    inside = sessions.core(tmp_path)
    sessions.run(scripted(sends(head, sessions.kills), sends(tail)), inside)
    told = live.journal.read(inside.journal.path)
    lines = [f"{e['ns']} {e['raw']}" for e in told if e["t"] == "line"]
    encoder = inside.intake.encoder
    tape, _, _ = tape_io.encode(lines, encoder.instrument, sessions.ACCOUNT, encoder.config)
    np.testing.assert_array_equal(tape.rows, np.stack(inside.rows))


def test_an_open_socket_that_falls_silent_is_pulled_and_given_up(tmp_path):
    head, _ = before_and_after()
    start = '{"channel": "tape", "data": {"start": 1767227400000000000, "speed": 100.0}}'
    inside = sessions.core(tmp_path)
    end, _ = sessions.run(scripted(sends([start, *head], sessions.waits)), inside, patience_s=1.0)
    assert end is live.End.LOST
    assert inside.is_pulled
    assert inside.faults["silences"] == inside.faults["gave_up"] == 1
    assert not inside.orders.live


def test_a_feed_without_stamps_is_pulled_after_two_seconds_of_silence(tmp_path):
    async def script(socket):
        for _ in range(10):
            await socket.send(bbo(("110", "5"), ("110.2", "5"), time.time_ns() // 1_000_000))
            await asyncio.sleep(0.02)
        await sessions.waits(socket)

    inside = sessions.core(tmp_path)
    sessions.run(scripted(script), inside, after=2.8)
    valid = sessions.is_valid(inside)
    assert valid.any()
    assert inside.is_pulled
    assert inside.faults["silences"] == 1


def test_a_server_that_never_answers_is_tried_again_until_the_patience_ends(tmp_path):
    class Mute:
        async def __aenter__(self):
            self.writers = []
            keep = lambda reader, writer: self.writers.append(writer)
            self.server = await asyncio.start_server(keep, "127.0.0.1", 0)
            return f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

        async def __aexit__(self, *_):
            for writer in self.writers:
                writer.close()
            self.server.close()

    inside = sessions.core(tmp_path)
    end, _ = sessions.run(Mute(), inside, patience_s=1.0)
    assert end is live.End.LOST
    assert inside.faults["lost_connection"] >= 2
    assert inside.faults["gave_up"] == 1
    assert not inside.decisions


def test_an_oversized_frame_and_bytes_that_are_no_text_are_survived(tmp_path):
    head, tail = before_and_after()

    async def huge(socket):
        await socket.send("x" * (5 * 2**20))
        await asyncio.sleep(1)

    async def binary(socket):
        await socket.send(b"\xff\xfe")
        await sends(tail)(socket)

    inside = sessions.core(tmp_path)
    end, _ = sessions.run(scripted(sends(head, huge), binary), inside)
    assert end is live.End.TAPE
    assert inside.faults["lost_connection"] == 1
    assert inside.faults["bad_frame"] == 1
    assert sessions.is_valid(inside)[-1]


class Broken:
    """A stepper whose rows are unhealthy for a while."""

    def __init__(self, stepper, bad):
        self._stepper, self._bad, self.restarts = stepper, set(bad), 0
        self._n = -1
        self.decide, self.trivial = stepper.decide, stepper.trivial
        self.quotes, self.record = stepper.quotes, stepper.record

    def row(self, vector, *fills):
        import dataclasses

        from diffmm.core import Health

        self._n += 1
        seen = self._stepper.row(vector, *fills)
        if self._n in self._bad:
            return dataclasses.replace(seen, health=Health.NONFINITE_BELIEF)
        return seen

    def restart(self):
        self.restarts += 1
        self._stepper.restart()


@pytest.mark.parametrize(("bad", "restarts"), [([30, 31], 0), ([30, 31, 32], 1), ([9, 11, 13], 0)])
def test_three_unhealthy_steps_in_a_row_start_the_belief_anew(tmp_path, bad, restarts):
    stepper = Broken(sessions.fresh(), bad)
    inside = sessions.core(tmp_path, stepper)
    sessions.run(scripted(sends(sessions.market())), inside)
    assert stepper.restarts == inside.faults["belief_restarted"] == restarts
    assert inside.faults["unhealthy_row"] == len(bad)
    assert sessions.is_valid(inside)[-1]
