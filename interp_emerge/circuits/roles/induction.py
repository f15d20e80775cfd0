"""Induction heads: fraction of attention from the second pass to the token after the same token in the first pass
(prefix matching).
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Role
from interp_emerge.circuits.roles.repeated import SEGMENT, RepeatedRun, repeated_run, require_segments
from interp_emerge.core.source import Source


def score(run: RepeatedRun) -> np.ndarray:
    return run.attention(run.second, back=SEGMENT - 1)


shelf.add(
    Role(
        name="induction",
        summary="attends to the token after the earlier occurrence of the same token",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        unit="fraction of attention",
        reads=repeated_run,
        score=score,
        require=require_segments,
    )
)
