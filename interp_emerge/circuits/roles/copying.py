"""Copying: how much a head raises the logit of the token that induction predicts, relative to the mean over the
vocabulary, in the second pass. The score is the first-order effect of the head's output by its direct path, in nats.

A copying head raises what it attends to. So it has to attend to the earlier copy of that token more than heads of
untrained models do; a head that raises likely tokens without looking at them is ruled out.

Cost: one gradient of the last norm and the unembedding.
"""

import numpy as np
import torch

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Aspect, Requirement, Role
from interp_emerge.circuits.roles.repeated import SEGMENT, RepeatedRun, repeated_run, require_segments
from interp_emerge.core.source import Source


@torch.no_grad()
def score(run: RepeatedRun) -> np.ndarray:
    return run.raised


shelf.add(
    Role(
        name="copying",
        summary="raises the logit of the token that induction predicts",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        unit="nats",
        reads=repeated_run,
        score=score,
        require=require_segments,
        requirements=(
            Requirement(
                aspect=Aspect.ATTENTION,
                says="attention to the earlier copy of the token that it raises",
                reads=repeated_run,
                score=lambda run: run.attention(run.second, back=SEGMENT - 1),
                bounds=(0.0, 1.0),
                require=require_segments,
            ),
        ),
    )
)
