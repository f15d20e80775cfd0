"""Whether neighbouring sizes have the same circuit, by edges and by classes of edges."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from interp_emerge.core.circuit import Circuit
from interp_emerge.emergence.sameness.matching import HeadFeatures, features_from, match_heads
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.emergence.sameness.same_circuit.verdict import GROUPS, same_circuit
from interp_emerge.patching.scores import EdgeScores
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import COMPARE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, why_unable
from interp_emerge.study.stages.base import Results, StageWithCells, stacked
from interp_emerge.study.stages.circuit import CIRCUIT, circuit_of, hash_of_edges
from interp_emerge.study.stages.edge_scores import edge_scores
from interp_emerge.study.stages.roles import ROLES
from interp_emerge.study.work import Work

FEWEST_PAIRS = 6
"""The fewest pairs with which circuits can be compared by halves: three groups of two."""
LEVELS: tuple[Literal["edges", "classes"], ...] = ("edges", "classes")
Pair = tuple[Checkpoint, Checkpoint]


class Comparing(StageWithCells[Pair, list[pd.DataFrame]]):
    """Compares two circuits with halves of the prompts, other seeds and random circuits."""

    name = "comparison"
    round = COMPARE
    needs = (ABILITIES, CIRCUIT, ROLES)
    tables = (COMPARISONS,)

    def each(self, work: Work) -> str:
        """Both levels, in words."""
        return (
            "overlap of edges, and of classes of edges, against halves of the prompts, other seeds and random circuits"
        )

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "scores of each pair, roles, circuits"

    def why_not(self, work: Work, key: Pair) -> str:
        """Too few prompts cannot be split into halves."""
        n = work.settings.n_pairs
        return (
            ""
            if n >= FEWEST_PAIRS
            else f"{n} pairs are too few to compare circuits by halves; use at least {FEWEST_PAIRS}"
        )

    def cell(self, work: Work, key: Pair) -> list[pd.DataFrame]:
        """A comparison by edges and one by classes of edges."""
        (a, b), grid = key, work.grid
        circuits = circuit_of(work, a), circuit_of(work, b)
        others = [grid.last_of(a.size, seed) for seed in grid.seeds(a.size) if seed != a.seed]
        seeds = [at for at in others if not why_unable(work, at)]
        return [_compared(work, key, circuits, level, seeds) for level in LEVELS]

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Rows for every two neighbouring sizes that have a circuit."""
        return [
            stacked(
                cell.assign(
                    size_a=a.size, seed_a=a.seed, size_b=b.size, seed_b=b.seed, ability=results.work.ability.name
                )
                for (a, b), cells in results.of(self).items()
                for cell in cells
            )
        ]


shelf.add(Comparing())


def _compared(
    work: Work,
    key: Pair,
    circuits: tuple[Circuit, Circuit],
    level: Literal["edges", "classes"],
    seeds: Sequence[Checkpoint],
) -> pd.DataFrame:
    """The comparison at one level; `seeds` are other models of the first size that have the ability."""
    settings, (a, b) = work.settings, key

    def compute() -> pd.DataFrame:
        scores, features = zip(*(_described_heads(work, at) for at in (a, b, *seeds)), strict=True)
        matches = [match_heads(features[0], other) for other in features[1:]]
        return same_circuit(
            scores[0],
            scores[1],
            circuits,
            match=matches[0],
            level=level,
            other_seeds=list(zip(scores[2:], matches[1:], strict=True)),
            groups=min(GROUPS, settings.n_pairs // 2),
            seed=settings.seed,
        ).to_frame()

    decides = {
        "others": [work.models.spec(*at).to_dict() for at in (b, *seeds)],
        "circuits": [hash_of_edges(circuit) for circuit in circuits],
        "method": settings.method,
        "level": level,
        "steps": settings.steps_of_integration,
    }
    return work.cells.get("comparison", work.inputs(a, **work.scoring, **decides), compute)


def _described_heads(work: Work, at: Checkpoint) -> tuple[EdgeScores, HeadFeatures]:
    """A model's edge scores with the values of each pair, and the features of its heads."""
    model = work.models.get(*at)
    scores = edge_scores(work, model, at, work.settings.method)
    return scores, features_from(model.graph, ROLES.cell(work, at), scores)
