"""`ie.score` with the type of its result checked, and recordings that are made once."""

from typing import Any

from torch import Tensor

import interp_emerge as ie
from interp_emerge.caching.recording import Recording, record
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import EdgeScores, NodeScores, Recorder


def record_once() -> Recorder:
    """A `record` that runs each model once on the same prompts."""
    kept: dict[tuple[HookedModel, bytes], Recording] = {}

    def get(model: HookedModel, tokens: Tensor) -> Recording:
        key = model, tokens.numpy().tobytes()
        if key not in kept:
            kept[key] = record(model, tokens)
        return kept[key]

    return get


def score_edges(model: HookedModel, pairs: ie.PromptPairs, method: str, **options: Any) -> EdgeScores:
    scores = ie.score(model, pairs, method=method, **options)
    assert isinstance(scores, EdgeScores)
    return scores


def score_nodes(model: HookedModel, pairs: ie.PromptPairs, method: str, **options: Any) -> NodeScores:
    scores = ie.score(model, pairs, method=method, **options)
    assert isinstance(scores, NodeScores)
    return scores
