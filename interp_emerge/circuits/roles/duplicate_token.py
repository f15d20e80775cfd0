"""Duplicate-token heads: fraction of attention from the second pass to the same token in the first pass, which has to
follow the token rather than the distance.
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import MOSTLY, Role
from interp_emerge.circuits.roles.repeated import (
    SEGMENT,
    RepeatedRun,
    follows_the_token,
    repeated_run,
    require_segments,
)
from interp_emerge.core.source import Source


def score(run: RepeatedRun) -> np.ndarray:
    return run.attention(run.second, back=SEGMENT)


shelf.add(
    Role(
        name="duplicate_token",
        summary="attends to the earlier occurrence of the same token",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        unit="fraction of attention",
        reads=repeated_run,
        score=score,
        at_least=MOSTLY,
        bounds=(0.0, 1.0),
        require=require_segments,
        requirements=(follows_the_token(back=SEGMENT),),
    )
)
