"""Attribution patching: a first-order estimate of patching every node, in the corrupt run.

A node's score is the sum of its edges' scores under edge attribution patching: the gradient at a writer's output is the
sum of the gradients at the inputs that it enters.
"""

import numpy as np

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching._attribution import chunks_of_pairs, scores_per_pair
from interp_emerge.patching.base import Method, NodeScores, PatchingTask, require_ordinary_run


def run(task: PatchingTask) -> NodeScores:
    parts = [scores_per_pair(task, rows, [0.0]).sum(2) for rows in chunks_of_pairs(task)]
    for part in parts:
        require_ordinary_run(part, "attribution_patching scores")
    per_pair = np.concatenate([part.cpu().numpy() for part in parts])
    return NodeScores(graph=task.graph, per_pair=per_pair, origin=task.origin("attribution_patching"))


shelf.add(
    Method(
        name="attribution_patching",
        summary="change of the node between the runs times gradient of the metric, in the corrupt run",
        source=Source("Nanda", 2023, "https://www.neelnanda.io/mechanistic-interpretability/attribution-patching"),
        scores="nodes",
        run=run,
    )
)
