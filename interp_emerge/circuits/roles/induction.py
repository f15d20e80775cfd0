"""Induction heads: fraction of attention from the second pass to the token after the same token in the first pass
(prefix matching). It has to raise the logit of the token that it finds there, and to follow the token rather than the
distance.
"""

import numpy as np
import torch

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import MOSTLY, Aspect, Requirement, Role
from interp_emerge.circuits.roles.repeated import (
    SEGMENT,
    RepeatedRun,
    follows_the_token,
    repeated_run,
    require_segments,
)
from interp_emerge.core.source import Source


def score(run: RepeatedRun) -> np.ndarray:
    return run.attention(run.second, back=SEGMENT - 1)


@torch.no_grad()
def raised(run: RepeatedRun) -> np.ndarray:
    return run.raised


shelf.add(
    Role(
        name="induction",
        summary="attends to the token after the earlier occurrence of the same token",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        unit="fraction of attention",
        reads=repeated_run,
        score=score,
        at_least=MOSTLY,
        bounds=(0.0, 1.0),
        require=require_segments,
        requirements=(
            follows_the_token(back=SEGMENT - 1),
            Requirement(
                aspect=Aspect.WRITING,
                says="rise of the logit of the token that it attends to",
                reads=repeated_run,
                score=raised,
                at_least=0.0,
                require=require_segments,
            ),
        ),
    )
)
