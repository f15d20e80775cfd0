"""Edge attribution patching with integrated gradients over the embeddings (Hanna et al., 2024).

The score of an edge is its writer's change times the gradient at its reader's input, as in `eap`. Here the gradient is
averaged over the midpoints of `steps` equal parts of the line from the corrupted to the clean embeddings. As the steps
grow, the scores of the embedding's edges sum to the true change of the metric. The error of the midpoint rule is of
second order in the spacing, and half that of the trapezoidal rule; the left sum of the method's first implementation
has an error of first order. Positive means that the clean value of the edge raises the metric.

Cost: two forward passes, and for each step one forward and one backward pass.
"""

from dataclasses import dataclass

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.attribution import attribute_edges, edge_cost, midpoints
from interp_emerge.patching.engines.options import AtPositions, Steps


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `eap_ig`."""

    steps: Steps = 5


def run(task: PatchingTask[Options]) -> EdgeScores:
    return attribute_edges(task, midpoints(task.options.steps), "eap_ig")


def cost(task: PatchingTask[Options]) -> Cost:
    return edge_cost(task, midpoints(task.options.steps))


shelf.add(
    Method(
        name="eap_ig",
        summary="edge attribution patching, the gradient averaged over points between corrupted and clean embeddings",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
