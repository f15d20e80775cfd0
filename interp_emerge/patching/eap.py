"""Edge attribution patching: a first-order estimate of patching every edge, from two forward passes and one backward.

The gradient is taken in the corrupt run. Where a softmax or a norm is saturated there, effects are missed.
"""

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching._attribution import attribute_edges
from interp_emerge.patching.base import EdgeScores, Method, PatchingTask


def run(task: PatchingTask) -> EdgeScores:
    return attribute_edges(task, [0.0], "eap")


shelf.add(
    Method(
        name="eap",
        summary="edge attribution patching: change of the writer times gradient at the reader, in the corrupt run",
        source=Source("Syed et al.", 2023, "https://arxiv.org/abs/2310.10348"),
        scores="edges",
        run=run,
    )
)
