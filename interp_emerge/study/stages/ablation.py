"""Whether the ability needs the circuit's heads: accuracy without them, and without as many random heads."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.circuits.running.ablation import ablation_table
from interp_emerge.circuits.tables import ABLATION
from interp_emerge.core.model import HookedModel
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges, why_no_circuit
from interp_emerge.study.work import Work


class Ablation(StageWithCells[Checkpoint, pd.DataFrame]):
    """Measures accuracy with heads ablated."""

    name = "ablation"
    round = LOCATE
    needs = (CIRCUIT,)
    tables = (ABLATION,)

    def each(self, work: Work) -> str:
        """The circuit's heads and random heads, in words."""
        return f"accuracy without the circuit's heads, and without up to {work.settings.n_ablations} random choices"

    def passes(self, work: Work, load: Load) -> float:
        """One run for each choice of heads."""
        return 1.1 * (2 + work.settings.n_ablations)

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return f"the circuit; activations of the pairs ({work.recorded})"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        """Without a circuit there are no heads to ablate."""
        return why_no_circuit(work, at)

    def cell(self, work: Work, at: Checkpoint) -> pd.DataFrame:
        """Accuracy in each condition."""
        settings, circuit = work.settings, circuit_of(work, at)

        def compute(model: HookedModel) -> pd.DataFrame:
            how = {"seed": settings.seed, "record": work.store.recording}
            return ablation_table(model, circuit, work.pairs(model, EVALUATION), n_random=settings.n_ablations, **how)

        decides = {"circuit": hash_of_edges(circuit), "draws": settings.n_ablations}
        return work.frame("ablation", at, compute, **work.scoring, **decides)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every model that has a circuit."""
        ability = results.work.ability.name
        return [stacked(cell.assign(**at._asdict(), ability=ability) for at, cell in results.of(self).items())]


shelf.add(Ablation())
