"""Who reaches a quote: by depth, by the queue in front, and how often a taker is large."""

import collections
import gzip
import json

import jax.numpy as jnp
import numpy as np
import pytest

from conftest import SHARED
from diffmm.belief import reach
from diffmm.core import defaults


def survival(ahead, tail, decay=0.3):
    leaves = {"depth_decay": 0.4, "queue_decay": decay, "queue_tail": tail, "scale_s": 1.0}
    p = reach.Params(**{k: jnp.float32(v) for k, v in leaves.items()})
    one, none = jnp.float32(1.0), jnp.float32(0.0)
    return np.exp(np.asarray(reach.log_reach(p, none, jnp.asarray(ahead), one, one), float))


def test_a_light_tail_is_the_exponential_law():
    ahead = np.array([0.0, 0.5, 2.0, 8.0], np.float32)
    np.testing.assert_allclose(survival(ahead, 1e5), np.exp(-0.3 * ahead), rtol=1e-2)


def test_a_heavy_tail_falls_by_its_power():
    far = survival(np.array([1e4, 2e4], np.float32), 1.0)
    assert far[0] / far[1] == pytest.approx(2.0, rel=1e-3)


def test_the_queue_law_starts_at_one_and_never_rises():
    chance = survival(np.linspace(0, 50, 101, dtype=np.float32), 1.0)
    assert chance[0] == 1
    assert (np.diff(chance) < 0).all()


@pytest.fixture(scope="module")
def sweeps():
    """Notional of each taker by coin, the prints of one instant and side joined."""
    path = SHARED / "data" / "hyperliquid_20250904_BTC_ETH_SOL_WLFI.jsonl.gz"
    if not path.exists():
        pytest.skip("the recordings are absent beside the checkout")
    found = collections.defaultdict(collections.Counter)
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if '"channel":"trades"' in line.replace(" ", "", 4):
                for t in json.loads(line.split(" ", 1)[1])["data"]:
                    usd = float(t["px"]) * float(t["sz"])
                    found[t["coin"]][t["time"], t["side"]] += usd
    return {coin: np.array(list(taker.values())) for coin, taker in found.items()}


def test_recorded_takers_have_a_power_tail(sweeps):
    """Twice as far out there are about half as many, where an exponential law has one in 3,000."""
    assert len(sweeps) == 4
    tail = float(defaults(reach.Params).queue_tail)
    for coin, sizes in sweeps.items():
        far, further = (np.mean(sizes > k * sizes.mean()) for k in (8, 16))
        power = ((1 + 16 / tail) / (1 + 8 / tail)) ** -tail
        ratio = np.log(further / far)
        assert abs(ratio - np.log(power)) < abs(ratio + 8) / 4, (coin, far, further)
