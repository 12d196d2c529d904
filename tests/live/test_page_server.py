"""The live page: read by whoever sits at the machine, commanded by whoever has the token."""

import asyncio
import contextlib
import http.client
import json
import threading
import time

import msgspec
import pytest

import browser
from diffmm.live import kill_latch, lock, page_server, state_file
from diffmm.live.control import Mailbox
from diffmm.live.state_file import Phase, RunState
from diffmm.report import live_page


HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "t" * 43
STATE = RunState(
    mode="paper",
    venue="loopback",
    coin=HOSTILE,
    pid=7,
    started_ms=0,
    updated_ms=0,
    interval_ms=1000,
    phase=Phase.QUOTING,
    mid="100.5",
    position="-0.25",
    pnl_1e8=150_000_000,
    pnl_parts_1e8={"spread": 150_000_000},
    recent=["joined", "</pre><script>alert(1)</script>"],
)


def written(folder, **fields):
    now_ms = time.time_ns() // 1_000_000
    state_file.write(folder, msgspec.structs.replace(STATE, updated_ms=now_ms, **fields))


@contextlib.contextmanager
def in_thread(page):
    """The server on a loop of its own; yields the port."""
    ready, ports, stop, loop = threading.Event(), [], asyncio.Event(), asyncio.new_event_loop()

    async def serve():
        async with page_server.served(page, 0) as port:
            ports.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(5)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    written(folder)
    return page_server.Page(folder, live_page.render(), live_page.policy(), TOKEN, lambda: "now")


@pytest.fixture
def port(page):
    with in_thread(page) as port:
        yield port


@pytest.fixture
def told(page):
    """Commands that reach a run which is alive and answers them."""
    seen, is_over, mailbox = [], threading.Event(), Mailbox(page.folder)

    def serve():
        while not is_over.wait(0.005):
            for request in mailbox.take():
                seen.append(request.command.value)
                mailbox.answer(request, is_ok=True, words=f"did {request.command.value}")

    thread = threading.Thread(target=serve)
    with lock.hold(page.folder):
        thread.start()
        yield seen
        is_over.set()
        thread.join()


def fetch(port, path="/", method="GET", body=None, host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_fetches_nothing_from_elsewhere_and_may_not(port):
    answer, text = fetch(port)
    assert answer.status == 200
    # The name of the SVG dialect is the only address in it, and it is not fetched.
    assert text.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert TOKEN not in text


def test_the_state_is_what_the_run_wrote(port, told):
    answer, text = fetch(port, "/state")
    seen = json.loads(text)
    assert answer.headers["Content-Type"] == "application/json"
    assert (seen["pulse"], seen["latched"], seen["state"]["pnl_1e8"]) == ("alive", None, 150000000)


def test_a_run_without_a_state_is_said_to_have_none(page, port):
    (page.folder / state_file.NAME).unlink()
    assert "does not exist" in json.loads(fetch(port, "/state")[1])["error"]


@pytest.mark.parametrize("path", ["/", "/state", "/ctl/pause"])
@pytest.mark.parametrize(
    "request_",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
)
def test_another_name_or_another_sites_page_is_turned_away(port, told, path, request_):
    method = "POST" if path.startswith("/ctl") else "GET"
    answer, _ = fetch(port, path, method, X_Diffmm_Token=TOKEN, **request_)
    assert answer.status == 403
    assert told == []


def test_a_command_needs_the_token_and_a_post(port, told):
    for headers, method, status in (
        ({}, "POST", 401),
        ({"X_Diffmm_Token": ""}, "POST", 401),
        ({"X_Diffmm_Token": TOKEN[:-1]}, "POST", 401),
        ({"X_Diffmm_Token": TOKEN}, "GET", 405),
    ):
        assert fetch(port, "/ctl/pause", method, **headers)[0].status == status
    assert fetch(port, f"/ctl/pause?token={TOKEN}", "POST")[0].status == 401
    assert told == []
    answer, text = fetch(port, "/ctl/pause", "POST", X_Diffmm_Token=TOKEN)
    assert (answer.status, text, told) == (200, "did pause", ["pause"])


def test_an_unknown_command_or_path_or_method_does_nothing(port, told):
    assert fetch(port, "/ctl/buy", "POST", X_Diffmm_Token=TOKEN)[0].status == 404
    assert fetch(port, "/../state")[0].status == 404
    assert fetch(port, "/state", "POST", X_Diffmm_Token=TOKEN)[0].status == 405
    assert told == []


def test_kill_from_the_page_sets_the_latch_even_when_nobody_answers(page, port):
    answer, text = fetch(port, "/ctl/kill", "POST", X_Diffmm_Token=TOKEN)
    assert answer.status == 409
    assert "alive" in text
    assert kill_latch.read(page.folder).reason == page_server.REASON


def test_it_listens_on_the_loopback_only(page):
    async def addresses():
        async with page_server.served(page, 0) as port:
            with contextlib.suppress(OSError):
                await asyncio.open_connection("127.0.0.2", port)
                return "everywhere"
            return "loopback"

    assert asyncio.run(addresses()) == "loopback"


def test_the_token_is_in_no_repr(page):
    assert TOKEN not in repr(page)


@pytest.mark.skipif(browser.EXECUTABLE is None, reason="no Chromium is installed")
def test_in_a_real_browser_it_shows_the_run_as_text_and_carries_a_command(
    page, port, told, tmp_path
):
    with browser.opened(f"http://127.0.0.1:{port}/#{TOKEN}", tmp_path / "profile") as tab:
        tab.wait_for("document.title.includes('PAPER')")
        assert tab.evaluate("document.getElementById('title').textContent").startswith(HOSTILE)
        assert tab.evaluate("document.images.length") == 0
        assert "</pre><script>" in tab.evaluate("document.getElementById('recent').textContent")
        written(page.folder, phase=Phase.PAUSED, pnl_1e8=-3_00000000)
        tab.wait_for("document.title.includes('paused')")
        assert "-3.00" in tab.evaluate("document.getElementById('tiles').textContent")
        tab.wait_for("document.querySelectorAll('polyline').length == 3")
        tab.evaluate("document.querySelector('#controls button').click()")
        tab.wait_for("document.getElementById('said').textContent == 'did pause'")
        assert told == ["pause"]
        assert tab.failures == []


@pytest.mark.skipif(browser.EXECUTABLE is None, reason="no Chromium is installed")
def test_in_a_real_browser_without_the_token_there_is_nothing_to_press(port, tmp_path):
    with browser.opened(f"http://127.0.0.1:{port}/", tmp_path / "profile") as tab:
        tab.wait_for("document.title.includes('PAPER')")
        assert tab.evaluate("document.querySelectorAll('button').length") == 0
        assert tab.evaluate("document.getElementById('notices').textContent").startswith("DEAD")
