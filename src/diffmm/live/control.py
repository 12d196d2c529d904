"""Words from an operator to a run: files in its folder, each taken, or withdrawn, exactly once.

Who may write in the folder may command the run, and nobody else: there is no port and no secret.
A question is a file `<id>.ask`; the run takes it by renaming it, the operator withdraws it by
removing it, so one of the two happens and a command that timed out can never act later. The answer
is `<id>.done`.
"""

import dataclasses
import os
import pathlib
import time

import msgspec

from . import durable, lock
from .events import Command


FOLDER = "control"
ASKED, TAKEN, DONE = ".ask", ".taken", ".done"
POLL_S = 0.02
MOST_BYTES = 4096


class ControlError(RuntimeError):
    """A command that was not carried out, or not for certain; says which."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One command that reached the run."""

    id: str
    command: Command
    reason: str = ""


class Mailbox:
    """The run's side; what was asked of an earlier process is dropped."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    def take(self) -> list[Request]:
        """Commands since the last call, oldest first; each must be answered."""
        taken = []
        for path in sorted(self._folder.glob(f"*{ASKED}")):
            mine = path.with_suffix(TAKEN)
            try:
                path.rename(mine)
            except FileNotFoundError:
                continue
            try:
                with mine.open("rb") as file:
                    body = msgspec.json.decode(file.read(MOST_BYTES), type=_Body)
                taken.append(Request(path.stem, body.command, body.reason))
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._answer(path.stem, is_ok=False, words=f"not a command: {error}")
        return taken

    def answer(self, request: Request, *, is_ok: bool, words: str) -> None:
        """Tell whoever asked what became of it."""
        self._answer(request.id, is_ok=is_ok, words=words)

    def _answer(self, id: str, *, is_ok: bool, words: str) -> None:
        said = msgspec.json.encode(_Answer(is_ok, words))
        durable.replace(self._folder / f"{id}{DONE}", said)
        (self._folder / f"{id}{TAKEN}").unlink(missing_ok=True)


def ask(folder: pathlib.Path, command: Command, reason: str = "", timeout_s: float = 5.0) -> str:
    """Command a run and wait for its answer.

    Returns:
        The run's words.

    Raises:
        ControlError: when none is alive, or it refused, or did not take the command in time (which
            is then withdrawn), or took it and said nothing.
    """
    box = folder / FOLDER
    if not lock.is_held(folder):
        raise ControlError(f"no run of {folder} is alive to take {command.value}")
    id = f"{time.time_ns():020d}-{os.getpid()}"
    path = box / f"{id}{ASKED}"
    try:
        durable.replace(path, msgspec.json.encode(_Body(command, reason)))
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}; nothing was asked") from error
    until = time.monotonic() + timeout_s
    is_withdrawn = False
    while (answer := _read_answer(box / f"{id}{DONE}")) is None:
        if time.monotonic() > until:
            if is_withdrawn:
                raise ControlError(f"{command.value} was taken and not answered: see diffmm status")
            try:
                path.unlink()
            except FileNotFoundError:
                # Taken at the last moment: it will act, so its answer is worth another wait.
                is_withdrawn, until = True, time.monotonic() + timeout_s
                continue
            raise ControlError(
                f"{folder.name} did not take {command.value} within {timeout_s:g} s; withdrawn"
            )
        time.sleep(POLL_S)
    if not answer.is_ok:
        raise ControlError(answer.words)
    return answer.words


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: Command
    reason: str = ""


class _Answer(msgspec.Struct, frozen=True):
    is_ok: bool
    words: str


def _read_answer(path: pathlib.Path) -> "_Answer | None":
    try:
        answer = msgspec.json.decode(path.read_bytes(), type=_Answer)
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    return answer
