"""When the ability comes to depend on its circuit: the loss of the metric without each part, at every step."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.emergence.forming.dependence import dependence_from
from interp_emerge.emergence.forming.tables import DEPENDENCE, DEPENDENCE_ONSETS
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import DEPEND, Followed
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Results, StageWithCells, stacked
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges
from interp_emerge.study.stages.without_parts import WITHOUT_PARTS, heads_by_role
from interp_emerge.study.work import Work


class Depending(StageWithCells[Checkpoint, tuple[pd.DataFrame, pd.DataFrame]]):
    """Computes what each step of a training run loses, and from which step on."""

    name = "dependence"
    round = DEPEND
    needs = (CIRCUIT, WITHOUT_PARTS)
    tables = (DEPENDENCE, DEPENDENCE_ONSETS)

    def each(self, work: Work) -> str:
        """The onsets of dependence, in words."""
        return "the step from which on the ability depends on each part"

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "the runs without each part; no model is run"

    def cell(self, work: Work, at: Checkpoint) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What is lost at each step, and the onsets."""
        settings, circuit = work.settings, circuit_of(work, at)
        steps = work.grid.steps(at.size, at.seed)

        def compute() -> tuple[pd.DataFrame, pd.DataFrame]:
            runs = {step: WITHOUT_PARTS.cell(work, Followed(at, step)) for step in steps}
            found = dependence_from(runs, seed=settings.seed)
            return found.table, found.onsets

        roles = heads_by_role(work, at, circuit)
        decides = {"circuit": hash_of_edges(circuit), "steps": steps, "roles": roles, "draws": settings.n_ablations}
        inputs = work.inputs(at, **work.scoring, **decides)
        table, onsets = work.cells.get_several("dependence", inputs, ("table", "onsets"), compute)
        return table, onsets

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every training run that has a circuit."""
        ability, cells = results.work.ability.name, results.of(self)
        return [
            stacked(tables[which].assign(size=at.size, seed=at.seed, ability=ability) for at, tables in cells.items())
            for which in range(len(self.tables))
        ]


shelf.add(Depending())
