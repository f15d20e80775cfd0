"""Whether an earlier or later circuit would do: circuits found in some models, run in others.

Two circuits that share few edges can do the same. A circuit that keeps its edges over training can stop working. So
circuits of different checkpoints, seeds of one size, or prompt templates are compared by what they do (Tigges et al.,
2024, https://arxiv.org/abs/2407.10827): the circuit found at A is run in the model at B, with every other edge ablated.

1. `each_model` takes one model, or loads labelled models one after another.
2. `_in_one_model` runs every circuit in it: faithfulness (m(C) − m(∅)) / (m(M) − m(∅)), a fraction that may leave
   [0, 1], with its 95% interval over pairs, and accuracy; for each template of the pairs if asked.
3. `_random_faithfulness` runs random connected circuits of each circuit's size in the same model: the null. The draw
   depends on the size and the seed alone, so equal circuits have equal nulls in every row.

Faithfulness is undefined where the model has no clean-corrupt gap beyond noise, and where the circuit belongs to a
graph of another shape. The p-value is that of the circuit's rank among the random circuits (`stats.ranks`). With 20 of
them it cannot be below 0.048. It is not adjusted for the number of rows.

A circuit that transfers would do in that model. Whether the model uses it is another claim, which `dependence` tests.
Give other pairs than those the circuits were found on. Then a circuit is judged on new pairs in its own model, too.

Cost: in each model a circuit run for each circuit, and `n_random` runs for each different size.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.tables import TRANSFER
from interp_emerge.patching.ablation import Ablation
from interp_emerge.stats.ranks import null_quantile, rank_p

COLUMNS = TRANSFER.filled
"""Columns of `transfer`. Those of random circuits are empty without any."""
Models = HookedModel | Iterable[tuple[str, HookedModel | Callable[[], HookedModel]]]
"""One model, or labelled models. A function that loads a model may stand in place of the model."""
Pairs = PromptPairs | Callable[[HookedModel], PromptPairs]
"""The same pairs for every model, or a function that gives the pairs for a model."""


@checked
def transfer(
    circuits: Mapping[str, Circuit],
    models: Models,
    pairs: Pairs,
    *,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    by_template: bool = False,
    n_random: int = 20,
    seed: int = 0,
    budget: int | None = None,
) -> pd.DataFrame:
    """Every circuit run in every model: one row for each circuit, model and, if asked, template, with `COLUMNS`.

    Example:
        >>> ie.emergence.sameness.transfer({"pairs": circuit, "held out": other}, model, held_out, n_random=3)

    Args:
        circuits: by label, such as the step at which each was found.
        models: one model, labelled with its spec; or tuples of a label and a model, or a function that loads it. Loaded
            models are held in memory one at a time.
        pairs: prompt pairs that no circuit was found on, or a function that gives them for a model, such as
            `lambda model: ability.sample(model, 64, seed=2000)`.
        metric: name of a metric.
        ablation: what edges outside the circuit carry.
        by_template: whether to measure each template of the pairs separately.
        n_random: random circuits of each circuit's size to compare with; 0 for no comparison.
        seed: of the random circuits.
        budget: bytes that a batch of circuits may need; by default a constant for the kind of device.

    Raises:
        InputError: no circuit, no model, two models with one label, a negative `n_random`, or `by_template` for pairs
            without templates.
        UnknownNameError: no metric or ablation has the name.
    """
    if not circuits:
        raise InputError("no circuit was given; give at least one with its label")
    if n_random < 0:
        raise InputError(f"n_random={n_random}: give the number of random circuits to compare with, 0 for none")
    parts = []
    for label, model in each_model(models):
        for template, chosen in _by_template(pairs_for(model, pairs), by_template):
            runs = Runs(model, chosen, metric=metric, ablation=ablation, budget=budget)
            parts.append(_in_one_model(circuits, runs, n_random, seed).assign(model=label, template=template))
            del runs
        del model
    return pd.concat(parts, ignore_index=True)[[*COLUMNS]]


def each_model(models: Models) -> Iterator[tuple[str, HookedModel]]:
    """Each label with its model, loaded when its turn comes. One model is labelled with its spec.

    Raises:
        InputError: there is no model, or two have one label.
    """
    labels: set[str] = set()
    labelled = [(str(models.spec), models)] if isinstance(models, HookedModel) else models
    for label, given in tqdm(labelled, desc="models", delay=2, leave=False):
        if label in labels:
            raise InputError(f"two models are labelled {label!r}; give each a label of its own")
        labels.add(label)
        yield label, given if isinstance(given, HookedModel) else given()
    if not labels:
        raise InputError("no model was given; give at least one as (label, model)")


def pairs_for(model: HookedModel, pairs: Pairs) -> PromptPairs:
    """The pairs for a model."""
    return pairs if isinstance(pairs, PromptPairs) else pairs(model)


def _by_template(pairs: PromptPairs, by_template: bool) -> Iterator[tuple[str, PromptPairs]]:
    if not by_template:
        yield "", pairs
        return
    if not pairs.templates:
        raise InputError("the pairs name no templates; give PromptPairs(templates=...) or leave by_template out")
    for name in dict.fromkeys(pairs.templates):
        yield name, pairs[[row for row, template in enumerate(pairs.templates) if template == name]]


def _in_one_model(circuits: Mapping[str, Circuit], runs: Runs, n_random: int, seed: int) -> pd.DataFrame:
    """A row for each circuit, in the order given, without the columns `model` and `template`."""
    graph, model_run = runs.model.graph, runs.whole
    fitting = {label: circuit for label, circuit in circuits.items() if circuit.graph == graph}
    found = dict(zip(fitting, runs.evaluations([circuit.kept for circuit in fitting.values()]), strict=True))
    random = _random_faithfulness({len(circuit) for circuit in fitting.values()}, runs, n_random, seed)
    why = model_run.why_undefined
    undefined = f"undefined: the clean-corrupt gap of {model_run.gap.value:.3g} {why}" if why else ""
    about = {
        "ability": runs.pairs.ability,
        "metric": str(runs.metric),
        "ablation": runs.ablation,
        "model_accuracy": model_run.accuracy.value,
    }
    rows = []
    for label, circuit in circuits.items():
        row = {"circuit": label, "n_edges": len(circuit), **about, "note": undefined}
        if label not in fitting:
            rows.append({**row, "note": "undefined: the circuit belongs to a graph of another shape"})
            continue
        evaluation = found[label]
        row |= {"faithfulness": evaluation.faithfulness, "accuracy": evaluation.accuracy.value}
        row |= dict(zip(("ci_low", "ci_high"), evaluation.ci, strict=True))
        if len(circuit) in random:
            null = random[len(circuit)]
            row["random_median"] = float(np.median(null))
            row["random_p95"] = float(null_quantile(null))
            row["p_value"] = rank_p(evaluation.faithfulness, null, magnitude=1.0)
        rows.append(row)
    return pd.DataFrame(rows, columns=pd.Index([*COLUMNS]))


def _random_faithfulness(sizes: set[int], runs: Runs, n_random: int, seed: int) -> dict[int, np.ndarray]:
    """Faithfulness of random connected circuits by their number of edges, shape [circuit]; empty if undefined."""
    if not runs.whole.defined or not n_random:
        return {}
    ordered = sorted(sizes)
    drawn = (
        kept for size in ordered for kept in random_connected_circuits(runs.model.graph, size, n_random, seed=seed)
    )
    metrics = runs.metric_of(drawn, len(ordered) * n_random)
    kept = (metrics - runs.whole.corrupt).mean(1) / runs.gap.mean()
    return dict(zip(ordered, kept.reshape(len(ordered), n_random), strict=True))
