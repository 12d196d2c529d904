"""The embedded venue as a process, and the venue's own SDK, unmodified, as its client."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import websockets.sync.client
from eth_account import Account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid


KEY = "0x" + "11" * 32
ALO, GTC, IOC = ({"limit": {"tif": tif}} for tif in ("Alo", "Gtc", "Ioc"))


@contextlib.contextmanager
def process(*options):
    """A venue process; what it printed, and the process."""
    command = [sys.executable, "-m", "diffmm.cli", "venue", "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield json.loads(running.stdout.readline()), running
        finally:
            running.kill()


@pytest.fixture(scope="module")
def url():
    with process("--seed", "3") as (told, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield told["url"]


@pytest.fixture(scope="module")
def other_url():
    """A second venue, whose allowance of requests a minute the trader has not used."""
    with process("--seed", "4") as (told, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield told["url"]


@pytest.fixture(scope="module")
def trader(url):
    """The SDK's two halves, an address with money, and all that its websocket heard."""
    wallet = Account.from_key(KEY)
    info = Info(url, timeout=10)
    info.post("/info", {"type": "claimDrip", "user": wallet.address})
    heard = []
    for feed in ("bbo", "trades", "l2Book", "activeAssetCtx"):
        info.subscribe({"type": feed, "coin": "SIM"}, heard.append)
    for feed in ("orderUpdates", "userFills", "userEvents"):
        info.subscribe({"type": feed, "user": wallet.address}, heard.append)
    info.subscribe({"type": "allMids"}, heard.append)
    yield Exchange(wallet, url, timeout=10), info, wallet.address, heard
    info.disconnect_websocket()


def statuses(answer):
    assert answer["status"] == "ok", answer
    return answer["response"]["data"]["statuses"]


def until(is_so, seconds=20.0):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_the_sdk_places_is_filled_and_cancels(trader):
    exchange, info, address, heard = trader
    mid = float(info.all_mids()["SIM"])
    far, near = Cloid.from_int(1), Cloid.from_int(2)
    (placed,) = statuses(exchange.order("SIM", True, 5, round(mid * 0.98, 2), ALO, cloid=far))
    assert placed["resting"]["cloid"] == far.to_raw()
    assert [x["cloid"] for x in info.open_orders(address)] == [far.to_raw()]
    assert info.query_order_by_cloid(address, far)["order"]["status"] == "open"
    # One tick better than the touch, where somebody comes by.
    bid = float(info.l2_snapshot("SIM")["levels"][0][0]["px"])
    statuses(exchange.order("SIM", True, 1, round(bid + 0.01, 2), GTC, cloid=near))
    until(lambda: info.user_fills(address))
    assert float(info.user_state(address)["assetPositions"][0]["position"]["szi"]) > 0
    (moved,) = statuses(
        exchange.modify_order(far, "SIM", True, 4, round(mid * 0.97, 2), ALO, cloid=far)
    )
    assert moved["resting"]["oid"] != placed["resting"]["oid"]
    assert statuses(exchange.cancel_by_cloid("SIM", far)) == ["success"]
    (again,) = statuses(exchange.cancel("SIM", moved["resting"]["oid"]))
    assert again["error"].startswith("Order was never placed, already canceled, or filled.")
    statuses(exchange.market_close("SIM"))
    assert info.user_state(address)["assetPositions"] == []
    until(lambda: {x["channel"] for x in heard} >= {"orderUpdates", "userFills", "user", "bbo"})
    updates = [x for m in heard if m["channel"] == "orderUpdates" for x in m["data"]]
    of_far = [x["status"] for x in updates if x["order"]["cloid"] == far.to_raw()]
    assert of_far == ["open", "canceled", "open", "canceled"]


def test_every_feed_the_sdk_asked_for_arrives(trader):
    heard = trader[3]
    wanted = {"bbo", "trades", "l2Book", "activeAssetCtx", "allMids", "userFills"}
    until(lambda: {x["channel"] for x in heard} >= wanted)
    book = next(x["data"] for x in heard if x["channel"] == "l2Book")
    bids, asks = ([float(x["px"]) for x in side] for side in book["levels"])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


def test_other_actions_of_the_sdk_are_answered_in_the_venues_words(trader):
    exchange, info, address, _ = trader
    assert exchange.update_leverage(5, "BTC") == {"status": "ok", "response": {"type": "default"}}
    assert exchange.update_leverage(99, "BTC")["response"] == "Invalid leverage value"
    refused = exchange.schedule_cancel(int(time.time() * 1000) + 10_000)
    assert refused["response"].startswith("Cannot set scheduled cancel time until enough volume")
    nonce = int(time.time() * 1000)
    assert exchange.noop(nonce)["status"] == "ok"
    again = exchange.noop(nonce)
    assert again == {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"}
    assert info.user_rate_limit(address)["nRequestsCap"] >= 10_000


def test_a_stranger_is_told_that_his_wallet_does_not_exist(url):
    stranger = Exchange(Account.from_key("0x" + "22" * 32), url, timeout=10)
    address = "0x1563915e194d8cfba1943570603f7606a3115508"
    told = stranger.order("SIM", True, 1, 100.0, GTC)
    said = f"L1 error: User or API Wallet {address} does not exist."
    assert told == {"status": "err", "response": said}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/info", b"\xff\xfe"),
        ("/info", b'{"type": "nonsense"}'),
        ("/info", b'{"type": "l2Book", "coin": "NONE"}'),
        ("/exchange", b"{}"),
        ("/exchange", b'{"action": {"type": "usdSend"}, "nonce": 1, "signature": {}}'),
        ("/exchange", b"[" * 200_000),
    ],
)
def test_a_malformed_request_is_refused_and_the_venue_lives(other_url, path, body):
    request = urllib.request.Request(other_url + path, data=body)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    with error.value:
        assert error.value.code == 422
    with urllib.request.urlopen(
        urllib.request.Request(other_url + "/info", data=b'{"type":"meta"}'), timeout=10
    ) as answer:
        assert json.load(answer)["universe"][0]["name"] == "SIM"


@pytest.mark.parametrize(
    "frame", ["", "nonsense", "[]", '{"method":"post"}', "[" * 100_000, b"\xff"]
)
def test_a_malformed_frame_is_answered_with_an_error_and_the_line_lives(url, frame):
    with websockets.sync.client.connect(f"ws{url[4:]}/ws", proxy=None) as line:
        line.send(frame)
        told = json.loads(line.recv(timeout=10))
        assert told["channel"] == "error"
        assert told["data"].startswith("Error parsing JSON into valid websocket request")
        line.send('{"method":"ping"}')
        assert json.loads(line.recv(timeout=10)) == {"channel": "pong"}


def test_the_venue_outlives_a_client_that_is_killed():
    client = "import sys, time, websockets.sync.client as c\n"
    client += "line = c.connect(sys.argv[1], proxy=None)\n"
    client += 'line.send(\'{"method":"subscribe","subscription":{"type":"bbo","coin":"SIM"}}\')\n'
    client += "line.recv(); print('up', flush=True); time.sleep(60)\n"
    with process() as (told, venue):
        with subprocess.Popen(
            [sys.executable, "-c", client, told["ws"]], stdout=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout.readline() == "up\n"
            killed.kill()
        with websockets.sync.client.connect(told["ws"], proxy=None) as line:
            line.send('{"method":"ping"}')
            assert json.loads(line.recv(timeout=10)) == {"channel": "pong"}
        assert venue.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_venue_cleanly_with_a_client_connected(number):
    with process() as (told, venue):
        with websockets.sync.client.connect(told["ws"], proxy=None) as line:
            venue.send_signal(number)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                line.recv(timeout=10)
            assert closed.value.rcvd.code == 1001
        assert venue.wait(10) == 0
        assert venue.stderr.read() == ""


def test_a_taken_port_is_said_and_not_traced():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "diffmm.cli", "venue", "--port"]
        port = str(taken.getsockname()[1])
        done = subprocess.run([*command, port], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_venue_ends_with_its_parent_when_asked_to():
    inner = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True)"
    inner += "; sys.stdin.read()"
    command = [sys.executable, "-m", "diffmm.cli", "venue", "--with-parent"]
    with subprocess.Popen(
        [sys.executable, "-c", inner, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline().startswith("venue")
        parent.kill()

    def is_gone():
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(pid, 0)
            # An orphan that nobody waits for stays in the table as a zombie.
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        return True

    until(is_gone, 10.0)
