"""Whether a classifier of takers is right, and what it is worth to the belief about V.

Log scores are means of log probabilities (of the true type; of the true V after the fill), larger
is better; a gain is their difference on the same fills, with a 90 % interval over blocks of 60 s.
"""

import dataclasses
from typing import Any

import numpy as np

from diffmm.belief.flow_type import TYPES

from . import calibration


def confusion(types: np.ndarray, log_type: np.ndarray) -> np.ndarray:
    """Counts by true type and by the most probable one, `[types, types]`."""
    out = np.zeros((len(TYPES), len(TYPES)), int)
    np.add.at(out, (types, log_type.argmax(axis=1)), 1)
    return out


def table(
    time_s: np.ndarray,
    types: np.ndarray,
    log_type: np.ndarray,
    log_prior: np.ndarray,
    v_scores: dict[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    """Everything about fills whose takers are known.

    Args:
        time_s: of each fill.
        types: true ones, indices into `TYPES`.
        log_type: `[fills, types]`, what the classifier says.
        log_prior: `[types]`, the shares it starts from.
        v_scores: log scores of V after each fill by name; each is set beside those before it.
        seed: of the resampling.
    """
    every = np.arange(len(types))
    said, before = log_type[every, types], log_prior[types]
    gain = lambda x: dataclasses.asdict(calibration.mean(time_s, x, seed))
    names = list(v_scores)
    pairs = [(a, b) for i, b in enumerate(names) for a in names[:i]]
    return {
        "fills": {name: int((types == k).sum()) for k, name in enumerate(TYPES)},
        "confusion": confusion(types, log_type).tolist(),
        "right": float((log_type.argmax(axis=1) == types).mean()),
        "right_by_share": float((log_prior.argmax() == types).mean()),
        "type_log_score": {"posterior": float(said.mean()), "share": float(before.mean())},
        "type_gain": gain(said - before),
        "v_log_score": {name: float(x.mean()) for name, x in v_scores.items()},
        "v_gain": {f"{b} over {a}": gain(v_scores[b] - v_scores[a]) for a, b in pairs},
    }
