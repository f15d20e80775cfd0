"""Edge attribution patching with the mean of the gradients in the corrupted and in the clean run (Hanna et al., 2024).

The score of an edge is the mean of two scores of `eap`, one with the gradient in either run. It is the trapezoidal rule
with two points on the line between the embeddings. An effect that is saturated in one run can be found in the other.
Positive means that the clean value of the edge raises the metric.

Cost: two forward and two backward passes. The forward passes give the changes of the writers too.
"""

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.attribution import CLEAN, CORRUPT, attribute_edges, edge_cost
from interp_emerge.patching.engines.options import AtPositions


def run(task: PatchingTask) -> EdgeScores:
    return attribute_edges(task, [CORRUPT, CLEAN], "clean_corrupted")


def cost(task: PatchingTask) -> Cost:
    return edge_cost(task, [CORRUPT, CLEAN])


shelf.add(
    Method(
        name="clean_corrupted",
        summary="edge attribution patching, the gradient averaged over the corrupted and the clean run",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=AtPositions,
    )
)
