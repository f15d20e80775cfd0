"""Edge attribution patching: a first-order estimate of patching every edge (Syed et al., 2023).

The score of an edge is (writer's output in the clean run − in the corrupted run) · (gradient at the reader's input),
with the gradient taken in the corrupted run. Positive means that the clean value of the edge raises the metric. Effects
are missed where a softmax or a norm is saturated in the corrupted run.

Cost: two forward passes and one backward pass; the forward pass of the corrupted run gives both its gradient and its
recording. `positions` resolves scores by token position, which multiplies the memory of the scores by their number.
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
        summary="edge attribution patching: change of the writer times gradient at the reader, in the corrupted run",
        source=Source("Syed et al.", 2023, "https://arxiv.org/abs/2310.10348"),
        scores="edges",
        run=run,
        cost=cost,
        options=AtPositions,
    )
)
