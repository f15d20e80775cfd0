"""The stages of a study. A stage knows what to compute for one model; `Cells` knows what is there already."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability, PromptPairs
from interp_emerge.caching.store import ActivationStore
from interp_emerge.circuits.ablation import accuracy_without, heads_to_ablate, matched_random_heads
from interp_emerge.circuits.evaluation import evaluate_many
from interp_emerge.circuits.random_paths import random_connected_circuits
from interp_emerge.circuits.roles import role_baselines, role_frame, role_scores
from interp_emerge.circuits.selection import smallest_faithful
from interp_emerge.circuits.stability import stability
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.files import hash_of
from interp_emerge.core.intervals import mean_interval
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.alignment import HeadFeatures, features_from, match_heads
from interp_emerge.emergence.dependence import dependence, parts_of
from interp_emerge.emergence.formation import formation_at
from interp_emerge.emergence.measuring import held_out_loss, measure
from interp_emerge.emergence.same_circuit import GROUPS, same_circuit
from interp_emerge.patching._scoring import score
from interp_emerge.patching.base import EdgeScores
from interp_emerge.sweeps.attention import attention_of
from interp_emerge.sweeps.cells import Cells, Models
from interp_emerge.sweeps.settings import StudySettings

At = tuple[str, int, int]
"""Size, step and seed of a model."""
SPLITS = {"discovery": 1, "evaluation": 2}
"""Circuits are found on some prompts and judged on others."""


@dataclass(frozen=True)
class Stages:
    """Every stage on one family, its results kept below one directory."""

    models: Models
    settings: StudySettings
    directory: Path

    @cached_property
    def cells(self) -> Cells:
        return Cells(self.directory / "cells")

    @cached_property
    def store(self) -> ActivationStore:
        return ActivationStore(self.directory / "activations")

    def measure(self, at: At, ability: Ability) -> pd.DataFrame:
        """Metrics of every prompt pair: `ability`, `metric`, `pair`, `value`."""
        n, seed = self.settings.n_measured, self.settings.seed
        return self._cell(
            "measure", at, lambda model: measure(model, [ability], n=n, seed=seed), ability=ability.name, n=n
        )

    def describe(self, at: At) -> tuple[int, float]:
        """Non-embedding parameters, and loss on the family's held-out text in nats per token."""
        text = self.models.family.held_out_text()
        cell = self._cell(
            "describe",
            at,
            lambda model: pd.DataFrame({"n_parameters": [model.n_parameters], "loss": [held_out_loss(model, text)]}),
            text=hash_of(text),
        )
        return int(cell["n_parameters"][0]), float(cell["loss"][0])

    def node_scores(self, at: At, ability: Ability) -> pd.DataFrame:
        """Exact effects of every writer, with their share of the clean-corrupt gap where that is above noise."""

        def compute(model: HookedModel) -> pd.DataFrame:
            frame = self._score(model, ability, "activation_patching").to_frame()
            pairs = self.pairs(model, ability, "discovery")
            (empty,) = evaluate_many(
                model,
                [np.zeros_like(model.graph.exists)],
                pairs,
                metric=self.settings.metric,
                record=self.store.recording,
            )
            return frame.assign(share=frame["score"] / empty.gap.value if empty.defined else np.nan)

        return self._cell("node_scores", at, compute, **self._scoring(ability))

    def edge_scores(self, at: At, ability: Ability, method: str) -> pd.DataFrame:
        """Effects of every edge by one method: `writer`, `reader`, `score`, `standard_error`."""
        steps = self.settings.steps_of_integration
        return self._cell(
            "edge_scores",
            at,
            lambda model: self._score(model, ability, method).to_frame(),
            **self._scoring(ability),
            method=method,
            steps=steps,
        )

    def circuit(self, at: At, ability: Ability) -> Circuit:
        """The smallest circuit that is faithful on the discovery prompts."""
        settings = self.settings
        inputs = self._inputs(
            at,
            **self._scoring(ability),
            method=settings.method,
            steps=settings.steps_of_integration,
            target=settings.target,
        )

        def compute() -> Circuit:
            frame = self.edge_scores(at, ability, settings.method)
            model = self.models.get(*at)
            pairs = self.pairs(model, ability, "discovery")
            origin = {
                "model": model.spec.to_dict(),
                "ability": ability.name,
                "method": settings.method,
                "metric": settings.metric,
                "corruption": "resample",
                "n_pairs": len(pairs),
                "prompts": pairs.fingerprint,
            }
            scores = EdgeScores.from_frame(model.graph, frame, origin=origin)
            return smallest_faithful(
                model, scores, pairs, target=settings.target, metric=settings.metric, record=self.store.recording
            )

        return self.cells.get_circuit(inputs, compute)

    def evaluation(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """The circuit on the evaluation prompts beside random circuits of equal size: one row."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            drawn = random_connected_circuits(model.graph, len(circuit), settings.n_random, seed=settings.seed)
            pairs = self.pairs(model, ability, "evaluation")
            edges = [circuit.kept, circuit.complement().kept, *drawn]
            found, without, *others = evaluate_many(
                model, edges, pairs, metric=settings.metric, record=self.store.recording
            )
            random = np.array([other.faithfulness for other in others])
            row = {
                "clean": found.clean.mean(),
                "corrupt": found.corrupt.mean(),
                "faithfulness": found.faithfulness,
                "ci_low": found.ci[0],
                "ci_high": found.ci[1],
                "kl": found.divergence.value,
                "accuracy": found.accuracy.value,
                "accuracy_without": without.accuracy.value,
                "random_median": np.median(random),
                "random_p95": np.quantile(random, 0.95),
            }
            return pd.DataFrame([row])

        return self._cell(
            "evaluation", at, compute, **self._scoring(ability), circuit=_name(circuit), n=settings.n_random
        )

    def stability(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """How alike the circuits of bootstrap samples of the discovery prompts are: one row."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            scores = self._score(model, ability, settings.method)
            assert isinstance(scores, EdgeScores)
            found = stability(scores, circuit, resamples=settings.n_resamples, seed=settings.seed).jaccard
            row = {"stability": found.value, "stability_low": found.low, "stability_high": found.high}
            return pd.DataFrame([row])

        steps = settings.steps_of_integration
        return self._cell(
            "stability",
            at,
            compute,
            **self._scoring(ability),
            circuit=_name(circuit),
            method=settings.method,
            steps=steps,
            n=settings.n_resamples,
        )

    def ablation(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """Accuracy without the circuit's heads, and without as many others of the same layers."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            pairs = self.pairs(model, ability, "evaluation")
            heads = heads_to_ablate(circuit)
            conditions = [("none", 0, []), ("circuit heads", 0, heads)]
            draws = [
                matched_random_heads(model.graph, heads, seed=settings.seed + draw)
                for draw in range(settings.n_ablations)
            ]
            distinct = sorted({tuple(others) for others in draws if others is not None})
            conditions += [("random heads of the same layers", i, list(others)) for i, others in enumerate(distinct)]
            rows = []
            for condition, draw, ablated in conditions:
                right = mean_interval(accuracy_without(model, ablated, pairs, record=self.store.recording))
                rows.append((condition, draw, " ".join(ablated), right.value, right.low, right.high))
            return pd.DataFrame(rows, columns=["condition", "draw", "heads", "accuracy", "ci_low", "ci_high"])

        return self._cell(
            "ablation", at, compute, **self._scoring(ability), circuit=_name(circuit), draws=settings.n_ablations
        )

    def roles(self, at: At) -> pd.DataFrame:
        """Role scores of every head against untrained models."""
        seed = self.settings.seed

        def compute(model: HookedModel) -> pd.DataFrame:
            return role_frame(model, role_scores(model, seed=seed), role_baselines(model, seed=seed))

        return self._cell("roles", at, compute)

    def formation(self, at: At, ability: Ability, circuit: Circuit, follow: list[tuple[str, str]]) -> pd.DataFrame:
        """Role scores of the followed heads and the final circuit's faithfulness at one checkpoint."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            pairs = self.pairs(model, ability, "evaluation")
            return formation_at(model, circuit, follow, pairs, metric=settings.metric, seed=settings.seed)

        return self._cell(
            "formation", at, compute, **self._scoring(ability), circuit=_name(circuit), follow=[list(f) for f in follow]
        )

    def dependence(
        self, at: At, ability: Ability, circuit: Circuit, steps: Sequence[int]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What each checkpoint of a run loses without the circuit and its roles, and from when on it does."""
        settings = self.settings
        roles = self.roles(at)

        def compute() -> tuple[pd.DataFrame, pd.DataFrame]:
            held = roles[roles["clears_baseline"] & roles["node"].isin(circuit.heads)]
            by_role = {str(role): own["node"].tolist() for role, own in held.groupby("role", sort=False)}
            parts = [part for part in parts_of(circuit, roles=by_role) if part.kind != "head"]
            pairs = self.pairs(self.models.get(*at), ability, "evaluation")
            found = dependence(
                [(step, lambda step=step: self.models.get(at[0], step, at[2])) for step in steps],
                circuit,
                pairs,
                parts=parts,
                metric=settings.metric,
                n_random=settings.n_ablations,
                seed=settings.seed,
            )
            return found.table, found.onsets

        inputs = self._inputs(
            at, **self._scoring(ability), circuit=_name(circuit), steps=[*steps], draws=settings.n_ablations
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

        names = [_name(circuit) for circuit in circuits]
        others = [self.models.spec(*at).to_dict() for at in (b, *seeds)]
        inputs = self._inputs(a, **self._scoring(ability), others=others, circuits=names, method=settings.method)
        return self.cells.get("comparison", inputs | {"level": level, "steps": settings.steps_of_integration}, compute)

    def _described_heads(self, at: At, ability: Ability) -> tuple[EdgeScores, HeadFeatures]:
        """A model's edge scores with the values of each pair, and what its heads do."""
        model = self.models.get(*at)
        scores = self._score(model, ability, self.settings.method)
        assert isinstance(scores, EdgeScores)
        return scores, features_from(model.graph, self.roles(at), scores)

    def attention(self, at: At, ability: Ability, circuit: Circuit) -> str:
        """Attention patterns of the circuit's heads on one prompt, as JSON."""

        def compute() -> str:
            model = self.models.get(*at)
            title = f"{ability.name.replace('_', ' ')} at {at[0]}, step {at[1]}"
            return json.dumps(attention_of(model, circuit, self.pairs(model, ability, "evaluation"), title=title))

        return self.cells.get_text(
            "attention", self._inputs(at, **self._scoring(ability), circuit=_name(circuit)), compute
        )

    def pairs(self, model: HookedModel, ability: Ability, split: str) -> PromptPairs:
        """Prompt pairs of a split; no two splits, nor the measured prompts, share a seed."""
        return ability.sample(model, self.settings.n_pairs, 1000 * SPLITS[split] + self.settings.seed)

    def is_measured(self, at: At, ability: Ability) -> bool:
        """Whether the ability was measured on the model before."""
        inputs = self._inputs(at, ability=ability.name, n=self.settings.n_measured)
        return self.cells.has("measure", inputs)

    def _score(self, model: HookedModel, ability: Ability, method: str):
        return score(
            model,
            self.pairs(model, ability, "discovery"),
            method=method,
            metric=self.settings.metric,
            steps=self.settings.steps_of_integration,
            seed=self.settings.seed,
            record=self.store.recording,
        )

    def _cell(self, stage: str, at: At, compute: Callable[[HookedModel], pd.DataFrame], **more: Any) -> pd.DataFrame:
        return self.cells.get(stage, self._inputs(at, **more), lambda: compute(self.models.get(*at)))

    def _inputs(self, at: At, **more: Any) -> dict[str, Any]:
        return {"model": self.models.spec(*at).to_dict(), "seed": self.settings.seed, **more}

    def _scoring(self, ability: Ability) -> dict[str, Any]:
        return {"ability": ability.name, "pairs": self.settings.n_pairs, "metric": self.settings.metric}


def _name(circuit: Circuit) -> str:
    return hash_of([[edge.writer, edge.reader] for edge in circuit.edges])
