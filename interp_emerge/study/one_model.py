"""What a study computes of one model. A stage knows what to compute; `Cells` knows what is there already."""

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability, PromptPairs
from interp_emerge.abilities.measuring import held_out_loss, measure
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION, Prompts
from interp_emerge.caching.store import ActivationStore
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.finding.selection import smallest_faithful
from interp_emerge.circuits.finding.stability import stability
from interp_emerge.circuits.roles.table import role_baselines, role_frame, role_scores
from interp_emerge.circuits.running.ablation import accuracy_without, heads_to_ablate, matched_random_heads
from interp_emerge.circuits.running.evaluation import evaluate_many
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.files import hash_of
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.scale.first_tokens import warning_of_first_token
from interp_emerge.families.hooking import configuration_of
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, scores_origin
from interp_emerge.patching.scoring import score
from interp_emerge.report.attention import attention_of
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.stats.ranks import NULL_QUANTILE
from interp_emerge.study.cells import Cells, Models
from interp_emerge.study.grid import At, Grid
from interp_emerge.study.settings import StudySettings


@dataclass(frozen=True)
class OneModel:
    """Every stage that looks at one model alone, its results kept below one directory."""

    models: Models
    settings: StudySettings
    directory: Path
    read_only: bool = False
    """Whether to raise a `MissingCell` where something is not on disk yet, instead of computing it."""

    @cached_property
    def cells(self) -> Cells:
        return Cells(self.directory / "cells", self.read_only)

    @cached_property
    def store(self) -> ActivationStore:
        return ActivationStore(self.directory / "activations")

    @cached_property
    def prompts(self) -> Prompts:
        return Prompts()

    def measure(self, at: At, ability: Ability) -> pd.DataFrame:
        """Metrics of every prompt pair: `ability`, `metric`, `pair`, `value`."""
        n, seed = self.settings.n_measured, self.settings.seed
        return self._cell(
            "measure",
            at,
            lambda model: measure(model, [ability], n=n, seed=seed, sample=self.prompts.sample),
            ability=ability.name,
            n=n,
        )

    def describe(self, at: At) -> dict[Hashable, Any]:
        """Non-embedding parameters, loss on the family's held-out text, and what stands first in prompts.

        `n_parameters`, `loss` (nats per token), `prepended`, and of a size's last model `warning`, a line on a first
        token that would be better.
        """
        text = self.models.family.held_out_text()
        is_last = at in Grid(self.models.family, self.settings).last

        def compute(model: HookedModel) -> pd.DataFrame:
            first = {
                "prepended": model.spec.prepended,
                "warning": warning_of_first_token(model, text) if is_last else "",
            }
            return pd.DataFrame([{"n_parameters": model.n_parameters, "loss": held_out_loss(model, text), **first}])

        cell = self._cell(
            "describe",
            at,
            compute,
            text=hash_of(text),
        )
        (row,) = cell.to_dict("records")
        return row

    def node_scores(self, at: At, ability: Ability) -> pd.DataFrame:
        """Exact effects of every writer, with their share of the clean-corrupt gap where that is above noise."""

        def compute(model: HookedModel) -> pd.DataFrame:
            frame = self._score(model, ability, "activation_patching").to_frame()
            pairs = self.pairs(model, ability, DISCOVERY)
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
        inputs = self._inputs(at, **self._scoring(ability), method=method) | self._own(method)
        return self.cells.get(
            "edge_scores", inputs, lambda: self._edges(self.models.get(*at), at, ability, method).to_frame()
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
            model = self.models.get(*at)
            scores = self._edges(model, at, ability, settings.method)
            pairs = self.pairs(model, ability, DISCOVERY)
            return smallest_faithful(
                model, scores, pairs, target=settings.target, metric=settings.metric, record=self.store.recording
            )

        return self.cells.get_circuit(inputs, compute)

    def evaluation(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """The circuit on the evaluation prompts beside random circuits of equal size: one row."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            drawn = random_connected_circuits(model.graph, len(circuit), settings.n_random, seed=settings.seed)
            pairs = self.pairs(model, ability, EVALUATION)
            edges = [circuit.kept, circuit.complement().kept, *drawn]
            found, without, *others = evaluate_many(
                model, edges, pairs, metric=settings.metric, record=self.store.recording
            )
            random = np.array([other.faithfulness for other in others])
            row = {
                "clean": found.clean.mean(),
                "corrupt": found.corrupt.mean(),
                **found.interval.columns("faithfulness", "ci"),
                "kl": found.divergence.value,
                "accuracy": found.accuracy.value,
                "accuracy_without": without.accuracy.value,
                "random_median": np.median(random),
                "random_p95": np.quantile(random, NULL_QUANTILE),
                "why_undefined": found.why_undefined,
            }
            return pd.DataFrame([row])

        return self._cell(
            "evaluation", at, compute, **self._scoring(ability), circuit=circuit_name(circuit), n=settings.n_random
        )

    def stability(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """How alike the circuits of bootstrap samples of the discovery prompts are: one row."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            scores = self._edges(model, at, ability, settings.method)
            found = stability(scores, circuit, resamples=settings.n_resamples, seed=settings.seed).jaccard
            row = found.columns("stability")
            return pd.DataFrame([row])

        steps = settings.steps_of_integration
        return self._cell(
            "stability",
            at,
            compute,
            **self._scoring(ability),
            circuit=circuit_name(circuit),
            method=settings.method,
            steps=steps,
            n=settings.n_resamples,
        )

    def ablation(self, at: At, ability: Ability, circuit: Circuit) -> pd.DataFrame:
        """Accuracy without the circuit's heads, and without as many others of the same layers."""
        settings = self.settings

        def compute(model: HookedModel) -> pd.DataFrame:
            pairs = self.pairs(model, ability, EVALUATION)
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
            "ablation", at, compute, **self._scoring(ability), circuit=circuit_name(circuit), draws=settings.n_ablations
        )

    def roles(self, at: At) -> pd.DataFrame:
        """Role scores of every head against untrained models."""
        seed = self.settings.seed

        def compute(model: HookedModel) -> pd.DataFrame:
            return role_frame(model, role_scores(model, seed=seed), self._role_baselines(model))

        return self._cell("roles", at, compute)

    def _role_baselines(self, model: HookedModel) -> dict[str, float]:
        """Baselines of roles, which depend on the model's configuration and vocabulary but not on its weights."""
        seed = self.settings.seed

        def compute() -> pd.DataFrame:
            found = role_baselines(model, seed=seed)
            return pd.DataFrame({"role": [*found], "baseline": [*found.values()]})

        about = {"config": configuration_of(model), "dtype": str(model.dtype), "seed": seed}
        about["vocabulary"] = model.vocabulary or model.spec.to_dict()
        cell = self.cells.get("role_baselines", about, compute)
        return dict(zip(cell["role"], cell["baseline"], strict=True))

    def attention(self, at: At, ability: Ability, circuit: Circuit) -> str:
        """Attention patterns of the circuit's heads on one prompt, as JSON."""

        def compute() -> str:
            model = self.models.get(*at)
            title = f"{ability.name.replace('_', ' ')} at {at[0]}, step {at[1]}"
            return json.dumps(attention_of(model, circuit, self.pairs(model, ability, EVALUATION), title=title))

        return self.cells.get_text(
            "attention", self._inputs(at, **self._scoring(ability), circuit=circuit_name(circuit)), compute
        )

    def pairs(self, model: HookedModel, ability: Ability, first_seed: int) -> PromptPairs:
        """Prompt pairs to find circuits on, where `first_seed` is `DISCOVERY`, or to judge them on (`EVALUATION`)."""
        return self.prompts.sample(ability, model, self.settings.n_pairs, first_seed + self.settings.seed)

    def _edges(self, model: HookedModel, at: At, ability: Ability, method: str) -> EdgeScores:
        """Scores of every edge, with the values of each pair where the method keeps them."""

        def compute() -> pd.DataFrame:
            found = self._score(model, ability, method)
            assert isinstance(found, EdgeScores)
            edges = np.nonzero(found.graph.exists)
            means = {"score": found.scores[edges], "standard_error": found.standard_errors[edges]}
            pairs = {} if found.per_pair is None else {str(pair): row for pair, row in enumerate(found.per_pair)}
            return pd.DataFrame({**means, **pairs})

        inputs = self._inputs(at, **self._scoring(ability), method=method) | self._own(method)
        cell = self.cells.get("edge_values", inputs, compute)
        scores, errors = np.zeros(model.graph.exists.shape), np.zeros(model.graph.exists.shape)
        scores[model.graph.exists], errors[model.graph.exists] = cell.pop("score"), cell.pop("standard_error")
        options = shelf[method].options(**self._own(method))
        pairs = self.pairs(model, ability, DISCOVERY)
        origin = scores_origin(model, pairs, method=method, metric=self.settings.metric, options=options)
        per_pair = np.ascontiguousarray(cell.to_numpy().T) if cell.shape[1] else None
        return EdgeScores(graph=model.graph, scores=scores, standard_errors=errors, per_pair=per_pair, origin=origin)

    def _own(self, method: str) -> dict[str, Any]:
        """Those of the study's settings that are options of a method."""
        return shelf[method].pick(steps=self.settings.steps_of_integration, seed=self.settings.seed)

    def _score(self, model: HookedModel, ability: Ability, method: str):
        return score(
            model,
            self.pairs(model, ability, DISCOVERY),
            method=method,
            metric=self.settings.metric,
            **self._own(method),
            record=self.store.recording,
        )

    def _cell(self, stage: str, at: At, compute: Callable[[HookedModel], pd.DataFrame], **more: Any) -> pd.DataFrame:
        return self.cells.get(stage, self._inputs(at, **more), lambda: compute(self.models.get(*at)))

    def _inputs(self, at: At, **more: Any) -> dict[str, Any]:
        model, first = self.models.spec(*at).to_dict(), self.models.prepend_bos
        return {"model": model, "first": first, "seed": self.settings.seed, **more}

    def _scoring(self, ability: Ability) -> dict[str, Any]:
        return {"ability": ability.name, "pairs": self.settings.n_pairs, "metric": self.settings.metric}


def circuit_name(circuit: Circuit) -> str:
    return hash_of([[edge.writer, edge.reader] for edge in circuit.edges])
