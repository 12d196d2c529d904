import asyncio
import json

import pytest
import websockets

from diffmm.venues.local import serve_tape


LINES = [f'{1_000_000_000 + i * 50_000_000} {{"channel":"pong","n":{i}}}' for i in range(5)]


async def read_all(url):
    frames = []
    async with websockets.connect(url) as socket:
        async for frame in socket:
            frames.append(frame)
            if '"end"' in frame:
                break
    return frames


def run(speed):
    async def main():
        async with serve_tape(LINES, speed=speed) as url:
            started = asyncio.get_running_loop().time()
            both = await asyncio.gather(read_all(url), read_all(url))
            return both, asyncio.get_running_loop().time() - started

    return asyncio.run(main())


def test_every_client_gets_every_line_unchanged_between_a_start_and_an_end():
    (a, b), _ = run(speed=1e6)
    assert a == b
    assert a[1:-1] == LINES
    assert json.loads(a[0])["data"] == {"start": 1_000_000_000, "speed": 1e6}


def test_recorded_time_is_kept_at_speed_one():
    _, elapsed_s = run(speed=1.0)
    assert elapsed_s >= 0.2


def test_a_speed_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        run(speed=0.0)


def test_a_client_that_leaves_in_a_pause_of_the_tape_is_not_waited_for():
    late = [LINES[0], f'{60_000_000_000} {{"channel":"pong"}}']

    async def main():
        async with serve_tape(late) as url:
            async with websockets.connect(url) as socket:
                await socket.recv()
            return asyncio.get_running_loop().time()

    async def timed():
        left = await main()
        return asyncio.get_running_loop().time() - left

    assert asyncio.run(timed()) < 5.0
