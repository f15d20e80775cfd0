"""Edge attribution patching: a first-order estimate of patching every edge (Syed et al., 2023).

The score of an edge is (writer's output in the clean run − in the corrupted run) · (gradient at the reader's input).
The gradient is taken in the run that is patched. With `direction="denoising"` that is the corrupted run, which gets a
clean value; with `"noising"` it is the clean run, which gets a corrupted value, as published. Positive means that the
clean value of the edge raises the metric. Effects are missed where a softmax or a norm is saturated in that run.

Cost: two forward passes and one backward pass; one forward pass gives both the gradient and a recording. `positions`
resolves scores by token position, which multiplies the memory of the scores by their number.
"""

from dataclasses import dataclass

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.attribution import attribute_edges, edge_cost, patched_end
from interp_emerge.patching.engines.options import AtPositions, Direction


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `eap`."""

    direction: Direction = "denoising"


def run(task: PatchingTask[Options]) -> EdgeScores:
    return attribute_edges(task, [patched_end(task, task.options.direction)], "eap")


def cost(task: PatchingTask[Options]) -> Cost:
    return edge_cost(task, [patched_end(task, task.options.direction)])


shelf.add(
    Method(
        name="eap",
        summary="edge attribution patching: change of the writer times gradient at the reader in the patched run",
        source=Source("Syed et al.", 2023, "https://arxiv.org/abs/2310.10348"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
