"""Edge attribution patching with integrated gradients over the embeddings.

The gradient is averaged over `steps` midpoints of the line from the corrupt to the clean embeddings, so that the
embedding's edges sum to the true change of the metric as the steps grow. The midpoint rule has an error of second order
in the spacing, half that of the trapezoid; the left sum of the method's first implementation has one of first order.

Cost: two forward passes, and one forward and backward pass a step.
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
        summary="edge attribution patching, the gradient averaged over midpoints between corrupt and clean embeddings",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
