"""Runs at every step without each part of the final circuit, and without random nodes or edges of the same kind."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.forming.parts import PartRuns, measure_parts, parts_of, runs_frame, runs_from_frame
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import FOLLOW, Followed
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, StageWithCells
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges
from interp_emerge.study.stages.roles import ROLES
from interp_emerge.study.work import Work


class WithoutParts(StageWithCells[Followed, Sequence[PartRuns]]):
    """Runs one step without each part of the circuit; the stage `dependence` makes tables of it."""

    name = "without_parts"
    round = FOLLOW
    needs = (CIRCUIT, ROLES)

    def each(self, work: Work) -> str:
        """All parts, in words."""
        return f"every part ablated, against {work.settings.n_ablations} random choices"

    def passes(self, work: Work, load: Load) -> float:
        """The model without each part and without random choices, about ten parts."""
        return 0.73 * 10 * (1 + work.settings.n_ablations / 2)

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "the circuit; activations of the checkpoint, in memory for all stages of this round"

    def cell(self, work: Work, key: Followed) -> Sequence[PartRuns]:
        """The metric of every pair without each part."""
        settings, circuit = work.settings, circuit_of(work, key.last)
        roles = heads_by_role(work, key.last, circuit)

        def compute(model: HookedModel) -> pd.DataFrame:
            pairs, record = work.pairs(model, EVALUATION), work.store.passing
            runs = Runs(model, pairs, metric=settings.metric, seed=settings.seed, record=record)
            parts = parts_of(circuit, roles=roles)
            return runs_frame(measure_parts(runs, parts, circuit, n_random=settings.n_ablations))

        decides = {"circuit": hash_of_edges(circuit), "roles": roles, "draws": settings.n_ablations}
        return runs_from_frame(work.frame("runs_without", key.checkpoint, compute, **work.scoring, **decides))


WITHOUT_PARTS = shelf.add(WithoutParts())


def heads_by_role(work: Work, at: Checkpoint, circuit: Circuit) -> dict[str, list[str]]:
    """The circuit's heads that play a role, by role."""
    roles = ROLES.cell(work, at)
    held = roles[roles["plays"] & roles["node"].isin(circuit.heads)]
    return {str(role): own["node"].tolist() for role, own in held.groupby("role", sort=False)}
