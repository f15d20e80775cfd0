"""Attention patterns of the circuit's heads on one prompt, at every training step, for the report."""

import json
from typing import Any

from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.report.attention import attention_of, over_training
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import FOLLOW, Followed
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges
from interp_emerge.study.work import Work


class Attention(StageWithCells[Followed, str]):
    """Writes attention patterns as JSON; it fills no table."""

    name = "attention"
    round = FOLLOW
    needs = (CIRCUIT,)

    def each(self, work: Work) -> str:
        """The patterns, in words."""
        return "attention patterns of the final circuit's heads on one prompt"

    def passes(self, work: Work, load: Load) -> float:
        """One run with attention patterns."""
        return 1.0

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "the circuit"

    def cell(self, work: Work, key: Followed) -> str:
        """The patterns at one step, as JSON."""
        circuit, last = circuit_of(work, key.last), key.last

        def compute() -> str:
            model = work.models.get(*key.checkpoint)
            title = f"{work.ability.name.replace('_', ' ')} at {last.size}, step {key.step}"
            return json.dumps(attention_of(model, circuit, work.pairs(model, EVALUATION), title=title))

        inputs = work.inputs(key.checkpoint, **work.scoring, circuit=hash_of_edges(circuit))
        return work.cells.get_text("attention", inputs, compute)

    def files(self, results: Results) -> dict[str, bytes]:
        """One file for every model that has a circuit, the largest first."""
        ability, runs = results.work.ability.name, dict[Checkpoint, dict[int, dict[str, Any]]]()
        for key, text in results.of(self).items():
            runs.setdefault(key.last, {})[key.step] = json.loads(text)
        return {
            f"attention/{place:02d}-{ability}-{last.size}-seed{last.seed}.json": json.dumps(
                over_training(found, size=last.size, seed=last.seed, ability=ability)
            ).encode()
            for place, (last, found) in enumerate(reversed(runs.items()))
        }


shelf.add(Attention())
