"""Commands through files: each acts once or never, whatever the timing."""

import threading
import time

import pytest

from diffmm.live import control, lock
from diffmm.live.control import ask, ControlError, Mailbox
from diffmm.live.events import Command


@pytest.fixture
def alive(tmp_path):
    with lock.hold(tmp_path):
        yield tmp_path


def served(folder, mailbox, seen, *, is_ok=True, until=1):
    """A run that answers until it has seen so many commands."""

    def run():
        deadline = time.monotonic() + 10
        while len(seen) < until and time.monotonic() < deadline:
            for request in mailbox.take():
                seen.append(request)
                mailbox.answer(request, is_ok=is_ok, words=f"did {request.command.value}")
            time.sleep(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_command_arrives_with_its_reason_and_the_answer_returns(alive):
    mailbox, seen = Mailbox(alive), []
    thread = served(alive, mailbox, seen)
    assert ask(alive, Command.PAUSE, "lunch") == "did pause"
    thread.join()
    assert [(r.command, r.reason) for r in seen] == [(Command.PAUSE, "lunch")]
    assert list((alive / control.FOLDER).iterdir()) == []


def test_a_refusal_is_an_error_in_the_runs_words(alive):
    mailbox, seen = Mailbox(alive), []
    thread = served(alive, mailbox, seen, is_ok=False)
    with pytest.raises(ControlError, match="did resume"):
        ask(alive, Command.RESUME)
    thread.join()


def test_what_was_not_taken_in_time_is_withdrawn_and_never_acts(alive):
    mailbox = Mailbox(alive)
    with pytest.raises(ControlError, match="withdrawn"):
        ask(alive, Command.STOP, timeout_s=0.05)
    assert mailbox.take() == []


def test_what_was_taken_and_not_answered_says_so(alive):
    mailbox = Mailbox(alive)
    threading.Timer(0.05, mailbox.take).start()
    with pytest.raises(ControlError, match="taken and not answered"):
        ask(alive, Command.STOP, timeout_s=0.2)


def test_commands_are_taken_once_and_in_their_order(alive):
    mailbox, seen = Mailbox(alive), []
    for number, command in enumerate((Command.STOP, Command.PAUSE, Command.RESUME)):
        body = f'{{"command":"{command.value}"}}'
        (alive / control.FOLDER / f"{number}{control.ASKED}").write_text(body)
    seen = [request.command for request in mailbox.take()]
    assert seen == [Command.STOP, Command.PAUSE, Command.RESUME]
    assert mailbox.take() == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"command":"buy"}', b"\xff", b'{"command":1}'])
def test_what_is_no_command_is_answered_and_does_nothing(alive, body):
    mailbox = Mailbox(alive)
    (alive / control.FOLDER / f"1{control.ASKED}").write_bytes(body)
    assert mailbox.take() == []
    assert b"not a command" in (alive / control.FOLDER / f"1{control.DONE}").read_bytes()


def test_a_command_to_an_earlier_process_does_not_reach_the_next(alive):
    Mailbox(alive)
    (alive / control.FOLDER / f"1{control.ASKED}").write_text('{"command":"resume"}')
    assert Mailbox(alive).take() == []


def test_a_dead_run_is_said_to_be_dead(tmp_path):
    Mailbox(tmp_path)
    with pytest.raises(ControlError, match="alive"):
        ask(tmp_path, Command.PAUSE)
