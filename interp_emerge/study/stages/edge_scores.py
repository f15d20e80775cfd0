"""The effect of every edge on the metric, by the study's method and by a second one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.prompts import DISCOVERY
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf as methods
from interp_emerge.patching.base import scores_origin
from interp_emerge.patching.scores import EDGE_SCORES, EdgeScores
from interp_emerge.patching.scoring import score
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, why_unable
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.work import Work

SECOND_METHOD = "eap"
"""Edge method whose scores are reported as well as those of the study's own method."""


class EdgeScoring(StageWithCells[Checkpoint, dict[str, pd.DataFrame]]):
    """Scores every edge with each method."""

    name = "edge_scores"
    round = LOCATE
    needs = (ABILITIES,)
    tables = (EDGE_SCORES,)

    def each(self, work: Work) -> str:
        """Both methods, in words."""
        return f"{' and '.join(_methods(work))} on {work.settings.n_pairs} pairs"

    def passes(self, work: Work, load: Load) -> float:
        """Both methods, and the intervals of every edge."""
        return 3.2 * work.settings.steps_of_integration + 5 + 0.02 * load.n_edges / load.n_tokens

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return f"activations of the pairs ({work.recorded})"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        """No circuit is sought in a model without the ability."""
        return why_unable(work, at)

    def cell(self, work: Work, at: Checkpoint) -> dict[str, pd.DataFrame]:
        """The columns of `EdgeScores.to_frame`, by method."""
        return {
            method: work.frame(
                "edge_scores",
                at,
                lambda model, method=method: edge_scores(work, model, at, method).to_frame(),
                **work.scoring,
                method=method,
                **_own(work, method),
            )
            for method in _methods(work)
        }

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every edge of every model, by method."""
        shared = {"ability": results.work.ability.name, "metric": results.work.settings.metric}
        return [
            stacked(
                cell.assign(method=method, **at._asdict(), **shared)
                for at, cells in results.of(self).items()
                for method, cell in cells.items()
            )
        ]


EDGES = shelf.add(EdgeScoring())


def edge_scores(work: Work, model: HookedModel, at: Checkpoint, method: str) -> EdgeScores:
    """Scores of every edge, with the values of each pair if the method keeps them."""
    settings = work.settings
    pairs = work.pairs(model, DISCOVERY)
    own = _own(work, method)

    def compute() -> pd.DataFrame:
        found = score(model, pairs, method=method, metric=settings.metric, record=work.store.recording, **own)
        assert isinstance(found, EdgeScores)
        edges = np.nonzero(found.graph.exists)
        means = {"score": found.scores[edges], "standard_error": found.standard_errors[edges]}
        values = {} if found.per_pair is None else {str(pair): row for pair, row in enumerate(found.per_pair)}
        return pd.DataFrame({**means, **values})

    cell = work.cells.get("edge_values", work.inputs(at, **work.scoring, method=method, **own), compute)
    scores, errors = np.zeros(model.graph.exists.shape), np.zeros(model.graph.exists.shape)
    scores[model.graph.exists], errors[model.graph.exists] = cell.pop("score"), cell.pop("standard_error")
    per_pair = np.ascontiguousarray(cell.to_numpy().T) if cell.shape[1] else None
    options = methods[method].options(**own)
    origin = scores_origin(model, pairs, method=method, metric=settings.metric, options=options)
    return EdgeScores(graph=model.graph, scores=scores, standard_errors=errors, per_pair=per_pair, origin=origin)


def _own(work: Work, method: str) -> dict[str, Any]:
    """The study's settings that are options of a method."""
    return methods[method].pick(steps=work.settings.steps_of_integration, seed=work.settings.seed)


def _methods(work: Work) -> list[str]:
    return [*dict.fromkeys((work.settings.method, SECOND_METHOD))]
