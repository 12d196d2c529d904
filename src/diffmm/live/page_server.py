"""The live page's server: loopback only, reads the run's folder, commands only with the token.

It stands beside the run, not in it: the state is a file and a command is a file, so a page that is
slow, or attacked, cannot slow the run. A page of another site cannot read it (its `Origin` or its
`Host` is not ours) and cannot command it (it has no token, and no cookie stands in for one).
"""

import asyncio
import contextlib
import dataclasses
import hmac
import http
import pathlib
from collections.abc import AsyncIterator, Callable

import msgspec
from websockets.asyncio.server import serve, ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from . import control, kill_latch, outside
from .events import Command


HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TOKEN = "X-Diffmm-Token"
CONTROL = "/ctl/"
COMMANDS = {command.value: command for command in Command}
REASON = "live page"
TIMEOUT_S = 5.0
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
HARDENED = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclasses.dataclass(frozen=True)
class Page:
    """One run as a page.

    **Attributes:**

    - `folder`: the run's.
    - `html`, `policy`: the page and what the browser may let it do.
    - `token`: who has it may command; at least 16 random bytes as text.
    - `utc`: the time as the latch keeps it.
    """

    folder: pathlib.Path
    html: str
    policy: str
    token: str = dataclasses.field(repr=False)
    utc: Callable[[], str]

    async def respond(self, port: int, request: Request) -> Response:
        """The answer to one request; no request opens a websocket."""
        denied = _denied(port, request)
        if denied is not None:
            return self._plain(http.HTTPStatus.FORBIDDEN, denied)
        if request.path.startswith(CONTROL):
            return await self._control(request)
        if request.method not in ("GET", "HEAD"):
            return self._plain(http.HTTPStatus.METHOD_NOT_ALLOWED, "GET only")
        if request.path == "/":
            return self._made(http.HTTPStatus.OK, HTML, self.html.encode())
        if request.path == "/state":
            return self._made(
                http.HTTPStatus.OK, JSON, msgspec.json.encode(outside.look(self.folder))
            )
        return self._plain(http.HTTPStatus.NOT_FOUND, "there are / and /state")

    async def _control(self, request: Request) -> Response:
        if request.method != "POST":
            return self._plain(http.HTTPStatus.METHOD_NOT_ALLOWED, "POST only")
        given = "".join(request.headers.get_all(TOKEN)).encode()
        if not hmac.compare_digest(given, self.token.encode()):
            return self._plain(http.HTTPStatus.UNAUTHORIZED, f"{TOKEN} is missing or wrong")
        command = COMMANDS.get(request.path.removeprefix(CONTROL))
        if command is None:
            return self._plain(http.HTTPStatus.NOT_FOUND, f"one of {', '.join(COMMANDS)}")
        try:
            said = await asyncio.to_thread(self._command, command)
        except (control.ControlError, kill_latch.LatchError) as error:
            return self._plain(http.HTTPStatus.CONFLICT, str(error))
        return self._plain(http.HTTPStatus.OK, said)

    def _command(self, command: Command) -> str:
        if command is Command.KILL:
            kill_latch.latch(self.folder, REASON, at=self.utc(), by=REASON)
        return control.ask(self.folder, command, REASON, TIMEOUT_S)

    def _plain(self, status: http.HTTPStatus, words: str) -> Response:
        return self._made(status, TEXT, words.encode())

    def _made(self, status: http.HTTPStatus, kind: str, body: bytes) -> Response:
        headers = Headers(HARDENED)
        headers["Content-Security-Policy"] = self.policy
        headers["Content-Type"] = kind
        headers["Content-Length"] = str(len(body))
        headers["Connection"] = "close"
        return Response(status.value, status.phrase, headers, body)


@contextlib.asynccontextmanager
async def served(page: Page, port: int) -> AsyncIterator[int]:
    """Serve on the loopback for as long as the context lasts; the port (0 picks a free one)."""

    async def on_request(connection: ServerConnection, request: Request) -> Response:
        return await page.respond(connection.local_address[1], request)

    async def never(connection: ServerConnection) -> None:
        await connection.close()

    async with serve(never, HOST, port, process_request=on_request, server_header=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def _denied(port: int, request: Request) -> str | None:
    """Why a request comes from elsewhere: under another name, or from another site's page."""
    ours = [f"{name}:{port}" for name in NAMES]
    hosts = request.headers.get_all("Host")
    if len(hosts) != 1 or hosts[0] not in ours:
        return f"Host {hosts!r}, expected {ours[0]}"
    origins = request.headers.get_all("Origin")
    if any(origin not in [f"http://{host}" for host in ours] for origin in origins):
        return f"Origin {origins!r} is not this page's"
    return None
