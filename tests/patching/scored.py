"""`ie.score` with the kind of its result made plain."""

from typing import Any

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import EdgeScores, NodeScores


def score_edges(model: HookedModel, pairs: ie.PromptPairs, method: str, **options: Any) -> EdgeScores:
    scores = ie.score(model, pairs, method=method, **options)
    assert isinstance(scores, EdgeScores)
    return scores


def score_nodes(model: HookedModel, pairs: ie.PromptPairs, method: str, **options: Any) -> NodeScores:
    scores = ie.score(model, pairs, method=method, **options)
    assert isinstance(scores, NodeScores)
    return scores
