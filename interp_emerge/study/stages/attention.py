"""Attention patterns of the circuit's heads on one prompt, for the report."""

import json

from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.report.attention import attention_of
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges, why_no_circuit
from interp_emerge.study.work import Work


class Attention(StageWithCells[Checkpoint, str]):
    """Writes attention patterns as JSON; it fills no table."""

    name = "attention"
    round = LOCATE
    needs = (CIRCUIT,)

    def each(self, work: Work) -> str:
        """The patterns, in words."""
        return "attention patterns of the circuit's heads on one prompt"

    def passes(self, work: Work, load: Load) -> float:
        """One run with attention patterns."""
        return 1.0

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "the circuit"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        """Without a circuit there are no heads to show."""
        return why_no_circuit(work, at)

    def cell(self, work: Work, at: Checkpoint) -> str:
        """The patterns, as JSON."""
        circuit = circuit_of(work, at)

        def compute() -> str:
            model = work.models.get(*at)
            title = f"{work.ability.name.replace('_', ' ')} at {at.size}, step {at.step}"
            return json.dumps(attention_of(model, circuit, work.pairs(model, EVALUATION), title=title))

        return work.cells.get_text(
            "attention", work.inputs(at, **work.scoring, circuit=hash_of_edges(circuit)), compute
        )

    def files(self, results: Results) -> dict[str, bytes]:
        """One file for every model that has a circuit, the largest first."""
        ability = results.work.ability.name
        return {
            f"attention/{place:02d}-{ability}-{at.size}-seed{at.seed}.json": text.encode()
            for place, (at, text) in enumerate(reversed(results.of(self).items()))
        }


shelf.add(Attention())
