"""Which faults a seed has, and how hard: each kind is on or off, so that rare pairs meet."""

import dataclasses
import random


@dataclasses.dataclass(frozen=True)
class Faults:
    """Rates of one run. Shares are per frame or request; means are in seconds, 0 for never.

    **Attributes:**

    - `drop`, `duplicate`, `reorder`, `clog`: of a frame (a clogged one takes up to `clog_s`).
    - `http_lost`, `http_error`, `http_twice`: of a request, its answer included.
    - `late_order`: of placements: they take up to `late_s`, beyond their expiry.
    - `reject`: of placements, refused as a whole without reaching the books.
    - `lost_ack`: of the replies to actions over the websocket.
    - `late_fill`: of frames that tell of fills, which then take up to `clog_s`.
    - `disconnect_s`, `outage_s`: between broken connections, and between times without any.
    - `half_open_s`: between times when nothing arrives and nothing says so.
    - `deaf_s`: between times when one channel is silent.
    - `stale_s`: between times when books come late.
    - `jump_s`: between jumps of our clock; `pause_s`: between times when our process stands still.
    - `crash_s`: between deaths of our process.
    - `kill_s`: between kills by an operator; `nudge_s`: between his other words.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    clog: float = 0.0
    clog_s: float = 9.0
    http_lost: float = 0.0
    http_error: float = 0.0
    http_twice: float = 0.0
    late_order: float = 0.0
    late_s: float = 40.0
    reject: float = 0.0
    lost_ack: float = 0.0
    late_fill: float = 0.0
    disconnect_s: float = 0.0
    outage_s: float = 0.0
    half_open_s: float = 0.0
    deaf_s: float = 0.0
    stale_s: float = 0.0
    jump_s: float = 0.0
    pause_s: float = 0.0
    crash_s: float = 0.0
    kill_s: float = 0.0
    nudge_s: float = 0.0


NONE = Faults()
SHARES = {
    "drop": 0.01,
    "duplicate": 0.05,
    "reorder": 0.05,
    "clog": 0.01,
    "http_lost": 0.05,
    "http_error": 0.03,
    "http_twice": 0.05,
    "late_order": 0.03,
    "reject": 0.05,
    "lost_ack": 0.05,
    "late_fill": 0.1,
}
MEANS_S = {
    "disconnect_s": 200.0,
    "outage_s": 900.0,
    "half_open_s": 600.0,
    "deaf_s": 600.0,
    "stale_s": 400.0,
    "jump_s": 700.0,
    "pause_s": 500.0,
    "crash_s": 500.0,
    "kill_s": 2500.0,
    "nudge_s": 400.0,
}
KINDS = (*SHARES, *MEANS_S)
IS_ON = 0.6


def swarm(seed: int) -> Faults:
    """The faults of a seed."""
    draw = random.Random(f"faults {seed}")
    found = {}
    for name, most in SHARES.items():
        found[name] = most * draw.random() if draw.random() < IS_ON else 0.0
    for name, least in MEANS_S.items():
        found[name] = least * (1 + 2 * draw.random()) if draw.random() < IS_ON else 0.0
    return Faults(**found)


def everything() -> Faults:
    """Every kind at once, at half its worst."""
    shares = {name: most / 2 for name, most in SHARES.items()}
    return Faults(**shares, **{name: 1.5 * least for name, least in MEANS_S.items()})
