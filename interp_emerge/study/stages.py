"""The stages of a study: those of one model, and those that follow a circuit through training or compare two sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.prompts import EVALUATION
from interp_emerge.circuits.running.runs import CircuitRuns
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.forming.dependence import dependence_from
from interp_emerge.emergence.forming.formation import Formation, formation_at
from interp_emerge.emergence.forming.parts import PartRuns, measure_parts, parts_of, runs_frame, runs_from_frame
from interp_emerge.emergence.sameness.matching import HeadFeatures, features_from, match_heads
from interp_emerge.emergence.sameness.same_circuit.test import GROUPS, same_circuit
from interp_emerge.patching.base import EdgeScores
from interp_emerge.study.grid import At
from interp_emerge.study.one_model import OneModel, circuit_name


@dataclass(frozen=True)
class Stages(OneModel):
    """Every stage on one family, its results kept below one directory."""

    def formation(self, at: At, ability: Ability, circuit: Circuit, follow: list[tuple[str, str]]) -> Formation:
        """What the followed heads and the parts of a final circuit do at one checkpoint, and its faithfulness there."""
        settings = self.settings

        def compute() -> tuple[pd.DataFrame, pd.DataFrame]:
            model = self.models.get(*at)
            found = formation_at(
                model,
                circuit,
                follow,
                self.pairs(model, ability, EVALUATION),
                metric=settings.metric,
                method=settings.method,
                steps=settings.steps_of_integration,
                seed=settings.seed,
                record=self.store.passing,
            )
            return found.parts, found.edges

        inputs = self._inputs(
            at,
            **self._scoring(ability),
            circuit=circuit_name(circuit),
            follow=[list(f) for f in follow],
            method=settings.method,
            steps=settings.steps_of_integration,
        )
        parts, edges = self.cells.get_several("formation", inputs, ("parts", "edges"), compute)
        return Formation(parts=parts, edges=edges)

    def runs_without(
        self, at: At, ability: Ability, circuit: Circuit, roles: dict[str, list[str]]
    ) -> Sequence[PartRuns]:
        """One checkpoint without each part of a final circuit, and without random nodes or edges like it."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            runs = CircuitRuns(
                model=model,
                pairs=self.pairs(model, ability, EVALUATION),
                metric=settings.metric,
                ablation="resample",
                budget=None,
                record=self.store.passing,
            )
            parts = parts_of(circuit, roles=roles)
            return runs_frame(measure_parts(runs, parts, circuit, n_random=settings.n_ablations, seed=settings.seed))

        cell = self._cell(
            "runs_without",
            at,
            compute,
            **self._scoring(ability),
            circuit=circuit_name(circuit),
            roles=roles,
            draws=settings.n_ablations,
        )
        return runs_from_frame(cell)

    def dependence(
        self, at: At, ability: Ability, circuit: Circuit, steps: Sequence[int], roles: dict[str, list[str]]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What each checkpoint of a run loses without the circuit and its parts, and from when on it does."""

        def compute() -> tuple[pd.DataFrame, pd.DataFrame]:
            runs = {step: self.runs_without((at[0], step, at[2]), ability, circuit, roles) for step in steps}
            found = dependence_from(runs, seed=self.settings.seed)
            return found.table, found.onsets

        inputs = self._inputs(
            at,
            **self._scoring(ability),
            circuit=circuit_name(circuit),
            steps=[*steps],
            roles=roles,
            draws=self.settings.n_ablations,
        )
        table, onsets = self.cells.get_several("dependence", inputs, ("table", "onsets"), compute)
        return table, onsets

    def comparison(
        self,
        a: At,
        b: At,
        ability: Ability,
        circuits: tuple[Circuit, Circuit],
        level: Literal["edges", "classes"],
        *,
        seeds: Sequence[At] = (),
    ) -> pd.DataFrame:
        """Whether two circuits differ beyond what prompts, random circuits and other seeds of a would make them."""
        settings = self.settings

        def compute() -> pd.DataFrame:
            scores, features = zip(*(self._described_heads(at, ability) for at in (a, b, *seeds)), strict=True)
            matches = [match_heads(features[0], other) for other in features[1:]]
            others = list(zip(scores[2:], matches[1:], strict=True))
            found = same_circuit(
                scores[0],
                scores[1],
                circuits,
                match=matches[0],
                level=level,
                other_seeds=others,
                groups=min(GROUPS, settings.n_pairs // 2),
                seed=settings.seed,
            )
            return found.to_frame().assign(
                level=level, verdict=found.verdict, p_value_verdict=found.p_value, sentence=found.sentence
            )

        names = [circuit_name(circuit) for circuit in circuits]
        others = [self.models.spec(*at).to_dict() for at in (b, *seeds)]
        inputs = self._inputs(a, **self._scoring(ability), others=others, circuits=names, method=settings.method)
        return self.cells.get("comparison", inputs | {"level": level, "steps": settings.steps_of_integration}, compute)

    def _described_heads(self, at: At, ability: Ability) -> tuple[EdgeScores, HeadFeatures]:
        """A model's edge scores with the values of each pair, and what its heads do."""
        model = self.models.get(*at)
        scores = self._edges(model, at, ability, self.settings.method)
        return scores, features_from(model.graph, self.roles(at), scores)
