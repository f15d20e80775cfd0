"""Random scores of edges: the baseline that every method has to beat.

Each edge has one normal draw, not one for each pair. So the scores have no spread over pairs, and the intervals and
p-values in their table are empty.
"""

from dataclasses import dataclass

import numpy as np

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.options import NoOptions, Seed


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    """Options of `random`."""

    seed: Seed = 0


def run(task: PatchingTask[Options]) -> EdgeScores:
    scores = np.random.default_rng(task.options.seed).standard_normal(task.graph.exists.shape) * task.graph.exists
    return EdgeScores(
        graph=task.graph, scores=scores, standard_errors=np.zeros(scores.shape), origin=task.origin("random")
    )


shelf.add(
    Method(
        name="random",
        summary="edges in random order: the baseline that every method has to beat",
        source=Source("Mueller et al.", 2025, "https://arxiv.org/abs/2504.13151"),
        scores="edges",
        run=run,
        cost=lambda task: Cost(passes=0, bytes=2 * 8 * task.graph.exists.size),
        options=Options,
    )
)
