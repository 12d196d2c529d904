import asyncio

import pytest

from diffmm.venues.client import Config, Feed, Joined, Lost


CLOSED = "ws://127.0.0.1:9"
WAITS = Config(first_wait_s=0.01, most_wait_s=0.08)


def losses(seed, n):
    async def listen():
        found = []
        async for word in Feed(CLOSED, [], seed, WAITS).words():
            assert isinstance(word, Lost)
            found.append(word)
            if len(found) == n:
                return found

    return asyncio.run(listen())


def test_waits_double_up_to_the_cap_and_half_of_each_is_jitter():
    waits = [x.wait_s for x in losses(0, 7)]
    for k, wait in enumerate(waits):
        longest = min(0.01 * 2**k, 0.08)
        assert longest / 2 <= wait <= longest
    assert len(set(waits[4:])) == 3


def test_the_same_seed_waits_the_same_and_another_does_not():
    first, again, other = (([x.wait_s for x in losses(s, 3)]) for s in (1, 1, 2))
    assert first == again != other


def test_a_loss_says_why():
    assert "ConnectionRefusedError" in losses(0, 1)[0].reason


@pytest.mark.parametrize("dead_s", [0.2])
def test_a_connection_that_says_nothing_is_pinged_and_then_given_up(dead_s):
    from websockets.asyncio.server import serve

    heard = []

    async def mute(socket):
        async for frame in socket:
            heard.append(frame)

    async def main():
        async with serve(mute, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            config = Config(beat_s=0.01, ping_s=0.05, dead_s=dead_s, first_wait_s=0.01)
            feed = Feed(f"ws://127.0.0.1:{port}", ["hello"], 0, config)
            joined = []
            async for word in feed.words():
                if isinstance(word, Joined):
                    joined.append(word.attempt)
                if isinstance(word, Lost):
                    assert "silent" in word.reason
                if len(joined) == 2:
                    return

    asyncio.run(main())
    assert heard[0] == "hello"
    assert '{"method":"ping"}' in heard
