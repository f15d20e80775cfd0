"""Whether an earlier or later circuit would do: circuits found at some models, run in others.

Two circuits that share few edges can do the same, and one that persists by its edges can stop working. So circuits of
different checkpoints, seeds of one size, or templates are compared by what they do (Tigges et al., 2024,
https://arxiv.org/abs/2407.10827): the circuit found at A is run in the model at B, every other edge ablated.

1. `transfer` runs every circuit in one model: faithfulness (m(C) − m(∅)) / (m(M) − m(∅)), a fraction
   that may leave [0, 1], with its bootstrap interval over pairs, and accuracy.
2. `_random_faithfulness` runs random connected circuits of each circuit's size in the same model: the null. It is drawn
   by the size alone, so equal circuits have equal nulls wherever they stand.
3. `transfer_matrix` does so for every model and, if asked, for each template of its pairs.

Where the model has no clean-corrupt gap beyond noise, faithfulness is undefined; so it is for a circuit of a graph of
another shape. The p-value is that of the rank among random circuits (`stats.ranks`): with 20 of them it is 0.048 at
best, not adjusted for the number of cells.

A circuit that transfers is one that would do there; that the model uses it is another claim, which `dependence` tests.
Find circuits on other pairs than `pairs_of` draws: each is then judged on new prompts on the diagonal too.

Cost: a circuit run for each circuit and for `n_random` of each different size, in each model.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import Ablation
from interp_emerge.stats.ranks import null_quantile, rank_p

COLUMNS = {
    "circuit": "label of the circuit",
    "n_edges": "its number of edges",
    "model": "label of the model that it is run in",
    "template": "wording of the pairs; empty where all are taken together",
    "faithfulness": "fraction of the model's clean-corrupt gap that the circuit keeps; empty if undefined",
    "ci_low": "lower end of its 95% interval, bootstrap over pairs",
    "ci_high": "upper end",
    "accuracy": "share of pairs that the circuit answers right; empty for a graph of another shape",
    "model_accuracy": "share of pairs that the whole model answers right",
    "random_median": "median faithfulness of random connected circuits of as many edges in the same model",
    "random_p95": "their 95th percentile, rounded up to one of them",
    "p_value": "share of these circuits at least as faithful, the circuit itself counted; empty if undefined",
    "note": "why something is undefined",
}
"""Columns of `transfer_matrix`."""


@checked
def transfer(
    circuits: Mapping[str, Circuit],
    model: HookedModel,
    pairs: PromptPairs,
    *,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    budget: int | None = None,
) -> pd.DataFrame:
    """Circuits found anywhere, run in one model, which may also be one in memory: one row a circuit.

    Columns `circuit`, `model`, `ability`, `metric`, `ablation`, `faithfulness` with its 95% interval `ci_low`,
    `ci_high`, `accuracy`, and `note`, the reason where faithfulness is undefined.

    Raises:
        InputError: a circuit belongs to a graph of another shape.
    """
    for name, circuit in circuits.items():
        model.require_graph(circuit.graph, f"circuit {name} was found")
    runs = Runs(model, pairs, metric=metric, ablation=ablation, budget=budget)
    found = runs.evaluations([circuit.kept for circuit in circuits.values()])
    return pd.DataFrame(
        {
            "circuit": [*circuits],
            "model": str(model.spec),
            "ability": pairs.ability,
            "metric": metric,
            "ablation": ablation,
            "faithfulness": [evaluation.faithfulness for evaluation in found],
            "ci_low": [evaluation.ci[0] for evaluation in found],
            "ci_high": [evaluation.ci[1] for evaluation in found],
            "accuracy": [evaluation.accuracy.value for evaluation in found],
            "note": [f"the gap {why}" if (why := evaluation.why_undefined) else "" for evaluation in found],
        }
    )


@checked
def transfer_matrix(
    circuits: Mapping[str, Circuit],
    models: Iterable[tuple[str, HookedModel | Callable[[], HookedModel]]],
    pairs_of: Callable[[HookedModel], PromptPairs],
    *,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    by_template: bool = False,
    n_random: int = 20,
    seed: int = 0,
    budget: int | None = None,
) -> pd.DataFrame:
    """Every circuit run in every model: a row a circuit and model, and template if asked, with `COLUMNS`.

    Args:
        circuits: by label, such as the step at which each was found.
        models: by label, in any order, or functions that load them, which are held one at a time.
        pairs_of: prompts for a model, on which no circuit was found; `lambda model: ability.sample(model, 64, 2000)`.
        metric: name of a metric.
        ablation: what edges outside the circuit carry.
        by_template: whether to take each template of the pairs by itself.
        n_random: random circuits of each circuit's size to compare with.
        seed: of the random circuits.
        budget: bytes that a batch of circuits may need; by default a constant for the kind of device.

    Raises:
        InputError: no circuit, no model, one label twice, `n_random` below 1, or pairs without templates.
        UnknownNameError: no metric or ablation has the name.
    """
    if not circuits:
        raise InputError("no circuit was given; give at least one with its label")
    if n_random < 1:
        raise InputError(f"n_random={n_random}: give at least one random circuit to compare with")
    parts: dict[str, pd.DataFrame] = {}
    for label, load in tqdm(models, desc="models", delay=2, leave=False):
        if label in parts:
            raise InputError(f"two models are labelled {label!r}; give each a label of its own")
        model = load if isinstance(load, HookedModel) else load()
        found = []
        for template, pairs in _worded(pairs_of(model), by_template):
            runs = Runs(model, pairs, metric=metric, ablation=ablation, budget=budget)
            found.append(_in_one_model(circuits, runs, n_random, seed).assign(template=template))
            del runs
        parts[label] = pd.concat(found).assign(model=label)
        del model
    if not parts:
        raise InputError("no model was given; give at least one as (label, model)")
    return pd.concat(parts.values(), ignore_index=True)[[*COLUMNS]]


def _worded(pairs: PromptPairs, by_template: bool) -> Iterator[tuple[str, PromptPairs]]:
    if not by_template:
        yield "", pairs
        return
    if not pairs.templates:
        raise InputError("the pairs name no templates; give PromptPairs(templates=...) or leave by_template out")
    for name in dict.fromkeys(pairs.templates):
        yield name, pairs[[row for row, template in enumerate(pairs.templates) if template == name]]


def _in_one_model(circuits: Mapping[str, Circuit], runs: Runs, n_random: int, seed: int) -> pd.DataFrame:
    """A row a circuit, in the order given."""
    graph, whole = runs.model.graph, runs.whole
    fitting = {label: circuit for label, circuit in circuits.items() if circuit.graph == graph}
    how: dict[str, Any] = {"metric": str(runs.metric), "ablation": runs.ablation, "budget": runs.budget}
    found = transfer(fitting, runs.model, runs.pairs, **how).set_index("circuit")
    random = _random_faithfulness({len(circuit) for circuit in fitting.values()}, runs, n_random, seed)
    why = whole.why_undefined
    undefined = f"undefined: the clean-corrupt gap of {whole.gap.value:.3g} {why}" if why else ""
    rows = []
    for label, circuit in circuits.items():
        row = {"circuit": label, "n_edges": len(circuit), "model_accuracy": whole.accuracy.value, "note": undefined}
        if label not in fitting:
            rows.append({**row, "note": "undefined: the circuit belongs to a graph of another shape"})
            continue
        row |= found.loc[label, ["faithfulness", "ci_low", "ci_high", "accuracy"]].to_dict()
        if whole.defined:
            others = random[len(circuit)]
            row["random_median"] = np.median(others)
            row["random_p95"] = null_quantile(others)
            row["p_value"] = rank_p(row["faithfulness"], others, magnitude=1.0)
        rows.append(row)
    return pd.DataFrame(rows, columns=pd.Index([*COLUMNS]))


def _random_faithfulness(sizes: set[int], runs: Runs, n_random: int, seed: int) -> dict[int, np.ndarray]:
    """Faithfulness of random connected circuits of each size, shape [circuit]; nothing where it is undefined."""
    if not runs.whole.defined:
        return {}
    ordered = sorted(sizes)
    drawn = (
        kept for size in ordered for kept in random_connected_circuits(runs.model.graph, size, n_random, seed=seed)
    )
    metrics = runs.metric_of(drawn, len(ordered) * n_random)
    kept = (metrics - runs.whole.corrupt).mean(1) / runs.gap.mean()
    return dict(zip(ordered, kept.reshape(len(ordered), n_random), strict=True))
