"""Edge attribution patching with the mean of the gradients in the corrupt and in the clean run.

A trapezoid over the line between the two runs' embeddings with its ends alone: the scores are the mean of those of
`eap` with the gradient in either run. An effect that is saturated in one of the runs is found in the other.

Cost: two forward and two backward passes, the forward ones serving for the recordings too.
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
        summary="edge attribution patching, the gradient averaged over the corrupt and the clean run",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=AtPositions,
    )
)
