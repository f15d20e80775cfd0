"""The exact effect of every head and MLP on the metric: one node is patched at a time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from interp_emerge.abilities.prompts import DISCOVERY
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.scores import NODE_SCORES
from interp_emerge.patching.scoring import score
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.work import Work

METHOD = "activation_patching"


class NodeScoring(StageWithCells[Checkpoint, pd.DataFrame]):
    """Measures the exact effect of every writer, and its share of the clean-corrupt gap if the gap is above noise."""

    name = "node_scores"
    round = LOCATE
    tables = (NODE_SCORES,)

    def each(self, work: Work) -> str:
        """The effects, in words."""
        return f"effect of every node on {work.settings.n_pairs} pairs"

    def passes(self, work: Work, load: Load) -> float:
        """One part of a pass for each node, and the intervals."""
        return 0.15 * load.n_nodes

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return f"activations of the pairs ({work.recorded})"

    def cell(self, work: Work, at: Checkpoint) -> pd.DataFrame:
        """The columns of `NodeScores.to_frame`, and `share`, the fraction of the clean-corrupt gap."""

        def compute(model: HookedModel) -> pd.DataFrame:
            settings, record = work.settings, work.store.recording
            pairs = work.pairs(model, DISCOVERY)
            frame = score(model, pairs, method=METHOD, metric=settings.metric, record=record).to_frame()
            nothing = [np.zeros_like(model.graph.exists)]
            (empty,) = Runs(model, pairs, metric=settings.metric, record=record).evaluations(nothing)
            return frame.assign(share=frame["score"] / empty.gap.value if empty.defined else np.nan)

        return work.frame("node_scores", at, compute, **work.scoring)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every node of every model."""
        shared = {"ability": results.work.ability.name, "method": METHOD, "metric": results.work.settings.metric}
        return [stacked(cell.assign(**at._asdict(), **shared) for at, cell in results.of(self).items())]


shelf.add(NodeScoring())
