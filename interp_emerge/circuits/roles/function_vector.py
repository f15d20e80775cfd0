"""Function-vector heads: rise of the answer's probability if the head's output at the last position of the corrupted
prompts is replaced by its mean over the clean prompts (average indirect effect).

In the paper the corrupted prompts are in-context examples with shuffled labels; here any pairs will do.

Cost: two recorded runs, and for each head part of a forward pass.
"""

import numpy as np

from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Role, RoleTask
from interp_emerge.core.source import Source
from interp_emerge.patching.ablation import stand_ins
from interp_emerge.patching.activation_patching import patched_rises
from interp_emerge.patching.base import PatchingTask
from interp_emerge.patching.engines.options import AtPositions


def require(task: RoleTask) -> None:
    """The mean is over all clean prompts, so these need one length."""
    if task.pairs is not None:
        task.pairs.require_one_length("the mean over clean prompts")


def score(task: RoleTask) -> np.ndarray:
    model, pairs = task.model, task.pairs
    assert pairs is not None
    with model.running():
        last = AtPositions(positions=(str(pairs.length - 1),))
        patching = PatchingTask(model=model, pairs=pairs, metric=bind_metric("prob", model, pairs), options=last)
        source = stand_ins(patching.clean, "mean_by_position")
        rises = patched_rises(patching, model.graph.nodes(["head"]), patching.corrupt, source, "function vectors")
    return rises[:, 0].T.cpu().double().numpy()


shelf.add(
    Role(
        name="function_vector",
        summary="its mean output raises the answers of other prompts",
        source=Source("Todd et al.", 2023, "https://arxiv.org/abs/2310.15213"),
        unit="probability",
        score=score,
        at_least=0.0,
        needs="pairs",
        require=require,
    )
)
