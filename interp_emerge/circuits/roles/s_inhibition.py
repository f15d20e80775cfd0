"""S-inhibition heads: rise of the metric if, in the corrupted run, only the queries of the name movers read the head's
output from the clean run.

This is path patching, in which MLPs on the way are computed again. The score is in the metric's unit, positive toward
the clean run, and NaN for heads that do not run before a name mover. The head has to attend from the last position to
the foil, which is the subject of indirect objects, more than to the answer.

Cost: two recorded runs, and for each head part of a forward pass.
"""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._on_pairs import ATTENDS_TO_FOIL
from interp_emerge.circuits.roles.base import Role, RoleTask
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.source import Source
from interp_emerge.patching.base import NodeScores
from interp_emerge.patching.scoring import score as score_by

MOVERS = "name_mover"


def score(task: RoleTask) -> np.ndarray:
    """Scores of every head on each pair.

    Raises:
        UnknownNameError: the model has no head with the name of a name mover.
        InputError: no head runs before a name mover.
    """
    assert task.pairs is not None
    movers, heads = task.heads[MOVERS], task.model.graph.nodes(["head"])
    by_name = {head.name: head for head in heads}
    for name in movers:
        if name not in by_name:
            raise UnknownNameError("head", name, by_name)
    last = max(by_name[name].layer for name in movers)
    senders = [head.name for head in heads if head.layer < last]
    if not senders:
        raise InputError(f"no head runs before {', '.join(movers)}, so no head writes into their queries")
    found = score_by(
        task.model,
        task.pairs,
        method="path_patching",
        metric=task.metric,
        receivers=[f"{name}.q" for name in movers],
        senders=senders,
        mlps="live",
    )
    assert isinstance(found, NodeScores)
    values = np.full((len(task.pairs), len(heads)), np.nan)
    values[:, : len(senders)] = found.per_pair
    return values


def require(task: RoleTask) -> None:
    movers = task.heads.get(MOVERS)
    if not movers:
        raise InputError("no head plays the role of name movers, whose queries this role is about")
    if all(name.startswith("a0.") for name in movers):
        raise InputError(f"no head runs before the name movers {', '.join(movers)}")


shelf.add(
    Role(
        name="s_inhibition",
        summary="moves the name movers' queries to the answer",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        unit="unit of the metric",
        score=score,
        needs="pairs",
        at_least=0.0,
        requirements=(ATTENDS_TO_FOIL,),
        aims_at=MOVERS,
        require=require,
        no_score="the head does not run before any name mover",
    )
)
