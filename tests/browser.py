"""A real browser without a driver of its own: headless Chromium over its debugging socket."""

import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

from websockets.sync.client import connect


NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
EXECUTABLE = next((path for path in map(shutil.which, NAMES) if path), None)
WAIT_S = 20.0


class Tab:
    """One page of the browser."""

    def __init__(self, socket):
        self._socket, self._ids, self.failures = socket, itertools.count(), []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        id = next(self._ids)
        self._socket.send(json.dumps({"id": id, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=WAIT_S))
            self._keep(told)
            if told.get("id") == id:
                assert "error" not in told, told
                return told["result"]

    def evaluate(self, script):
        told = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script):
        until = time.monotonic() + WAIT_S
        while not (value := self.evaluate(script)):
            assert time.monotonic() < until, (script, self.evaluate("document.body.innerText"))
            time.sleep(0.05)
        return value

    def _keep(self, told):
        method, params = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.failures.append(params["exceptionDetails"])
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.failures.append(params["entry"])
        if method == "Page.javascriptDialogOpening":
            id = next(self._ids)
            accept = {"id": id, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._socket.send(json.dumps(accept))


@contextlib.contextmanager
def opened(url, profile):
    """The page at `url`, in a browser with a fresh profile."""
    words = [
        EXECUTABLE,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file, until = profile / "DevToolsActivePort", time.monotonic() + WAIT_S
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < until, "the browser did not start"
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=WAIT_S) as told:
            page = next(one for one in json.load(told) if one["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=1 << 26) as socket:
            tab = Tab(socket)
            tab.call("Page.navigate", url=url)
            yield tab
    finally:
        process.terminate()
        process.wait(timeout=WAIT_S)
