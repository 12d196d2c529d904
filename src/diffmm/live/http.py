"""One `POST` of JSON, blocking, with a deadline; run in a thread. It follows no redirect."""

import http.client
import json
import urllib.parse
from typing import Any


MOST_BYTES = 64 * 2**20


class NoAnswerError(RuntimeError):
    """The request may or may not have arrived."""


def post(base: str, path: str, body: dict[str, Any], timeout_s: float) -> tuple[int, str]:
    """Status and text of the answer.

    Args:
        base: `http://host:port` or `https://host`, no trailing slash.
        path: `/info` or `/exchange`.
        body: sent as JSON, keys in their order.
        timeout_s: for each step of the exchange.

    Raises:
        NoAnswerError: for anything short of a whole answer.
    """
    at = urllib.parse.urlsplit(base)
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    connection = kind(at.hostname or "", at.port, timeout=timeout_s)
    try:
        data = json.dumps(body, separators=(",", ":")).encode()
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{base}{path}: {type(error).__name__}: {error}"[:200]) from error
    finally:
        connection.close()
