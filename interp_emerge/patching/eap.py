"""Edge attribution patching: a first-order estimate of patching every edge, from two forward passes and one backward.

The score of an edge is (writer's output in the clean run − in the corrupt run) · (gradient at the reader's input), the
gradient taken in the corrupt run. Where a softmax or a norm is saturated there, effects are missed.

Cost: the corrupt run serves for the gradient and the recording. `positions` resolves scores by token position, at the
price of an edge's values at each of them.
"""

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.attribution import CORRUPT, attribute_edges, edge_cost
from interp_emerge.patching.engines.options import AtPositions


def run(task: PatchingTask) -> EdgeScores:
    return attribute_edges(task, [CORRUPT], "eap")


def cost(task: PatchingTask) -> Cost:
    return edge_cost(task, [CORRUPT])


shelf.add(
    Method(
        name="eap",
        summary="edge attribution patching: change of the writer times gradient at the reader, in the corrupt run",
        source=Source("Syed et al.", 2023, "https://arxiv.org/abs/2310.10348"),
        scores="edges",
        run=run,
        cost=cost,
        options=AtPositions,
    )
)
