"""Previous-token heads: fraction of attention to the previous token, mean over positions."""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import MOSTLY, Role
from interp_emerge.circuits.roles.repeated import RepeatedRun, repeated_run, require_segments
from interp_emerge.core.source import Source


def score(run: RepeatedRun) -> np.ndarray:
    return run.attention(run.everywhere, back=1)


shelf.add(
    Role(
        name="previous_token",
        summary="attends to the previous token",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        unit="fraction of attention",
        reads=repeated_run,
        score=score,
        at_least=MOSTLY,
        bounds=(0.0, 1.0),
        require=require_segments,
    )
)
