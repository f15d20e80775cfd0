"""How much of an ability a circuit carries: run the model with every edge outside the circuit ablated.

1. `evaluate_many` runs many circuits on the same pairs in batches. Edges outside a circuit carry what the ablation puts
   there (`patching.engines.circuit_run`): their writer's output in the corrupt run (`resample`), its mean over the
   corrupt prompts and positions (`mean`), or at each position (`mean_by_position`), or nothing (`zero`).
2. `evaluate` gives one circuit's `Evaluation` (`circuits.running.faithfulness`): faithfulness, divergence, accuracy.
3. `faithfulness_curve` evaluates the best edges at the sizes of MIB's grid (Mueller et al., 2025,
   https://arxiv.org/abs/2504.13151).

At the level of nodes a circuit keeps every edge that its nodes write, so that what is ablated is the whole output of
the nodes outside. Under resample ablation the run with every edge ablated is the corrupt run. Elsewhere it is a run of
its own, and what hangs on no path from the embedding still counts: a node whose inputs are means does not write a mean.

Cost: at most one forward pass a circuit, plus one norm for each different input.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax

from interp_emerge.abilities.base import PromptPairs, require_pairs
from interp_emerge.abilities.metrics import (
    KL,
    BoundMetric,
    MetricFunction,
    bind_metric,
    bytes_of_reading,
    clean_log_probs,
)
from interp_emerge.caching.recording import Recording, bytes_per_prompt, final_logits, record
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import KeptEdges, PerCircuit
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import ABLATIONS
from interp_emerge.patching.base import EdgeScores, Recorder
from interp_emerge.patching.engines.circuit_run import circuit_values

Ablation = Literal["resample", "mean", "mean_by_position", "zero"] | str
"""One of these names; any other is refused with a suggestion."""
Level = Literal["edges", "nodes"] | str
LEVELS = ("edges", "nodes")
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the graph's edges at which curves are taken."""


@checked
def evaluate(
    model: HookedModel,
    circuit: Circuit,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    level: Level = "edges",
    budget: int | None = None,
    record: Recorder = record,
) -> Evaluation:
    """What a circuit keeps of the model's behaviour on the pairs, everything outside it ablated.

    Args:
        model: the model that the circuit is claimed for.
        circuit: edges of the model's graph.
        pairs: prompts that the circuit was not chosen on, if it is to be judged.
        metric: name of a metric, or a callable from logits and pairs to one value a pair.
        ablation: what stands for ablated outputs: `resample`, `mean`, `mean_by_position` or `zero`.
        level: whether all edges outside the circuit are ablated, or only the outputs of nodes outside it.
        budget: bytes to work in; by default a constant for the kind of device.
        record: gets the activations of a run; by default runs the model.

    Raises:
        InputError: the circuit belongs to a graph of another shape.
        UnknownNameError: no metric, ablation or level has the name.
    """
    require_graph(model, circuit)
    if level not in LEVELS:
        raise UnknownNameError("level", level, LEVELS)
    kept = circuit.kept if level == "edges" else circuit.graph.exists & circuit.kept.any(1, keepdims=True)
    (evaluation,) = evaluate_many(model, [kept], pairs, metric=metric, ablation=ablation, budget=budget, record=record)
    return evaluation


@checked
def evaluate_many(
    model: HookedModel,
    kept: Sequence[np.ndarray],
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> list[Evaluation]:
    """Evaluations of many circuits on the same pairs, each given as a bool array of shape [writer, reader].

    Raises:
        InputError: a circuit of another shape.
        UnknownNameError: no metric or ablation has the name.
    """
    require_pairs(model, pairs)
    if ablation not in ABLATIONS:
        raise UnknownNameError("ablation", ablation, ABLATIONS)
    graph, nothing = model.graph, np.zeros_like(model.graph.exists)
    if any(edges.shape != nothing.shape for edges in kept):
        raise InputError(f"a circuit of {model.spec} needs edges of shape {nothing.shape}")
    if not len(kept):
        return []
    clean_run, corrupt_run = (record(model, tokens) for tokens in (pairs.clean, pairs.corrupt))
    metrics = _metrics(model, metric, pairs, clean_run, budget)

    def whole(run: Recording) -> np.ndarray:
        return metrics_of_recording(model, run, metrics, budget=budget).numpy()

    clean = whole(clean_run)
    # Under resample ablation what pruning drops changes nothing: circuits equal without it share a run.
    asked = [graph.prune(edges) if ablation == "resample" else edges & graph.exists for edges in kept]
    values = {graph.exists.tobytes(): clean}
    if ablation == "resample":
        values[nothing.tobytes()] = whole(corrupt_run)
    distinct = {edges.tobytes(): edges for edges in [nothing, *asked]}
    left = {name: edges for name, edges in distinct.items() if name not in values}
    if left:
        masks = torch.from_numpy(np.stack([*left.values()]))
        with model.running():
            found = circuit_values(model, masks, clean_run, corrupt_run, metrics, ablation=ablation, budget=budget)
        values |= dict(zip(left, torch.stack(found, 1).cpu().double().numpy(), strict=True))
    corrupt = values[nothing.tobytes()]
    return [
        Evaluation(
            metric=values[edges.tobytes()][0],
            clean=clean[0],
            corrupt=corrupt[0],
            kl=-values[edges.tobytes()][1],
            right=values[edges.tobytes()][2],
            ablation=ablation,
            templates=pairs.templates,
        )
        for edges in asked
    ]


@checked
def faithfulness_curve(
    model: HookedModel,
    scores: EdgeScores,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    shares: Sequence[float] = GRID,
    by: Literal["score", "magnitude"] = "magnitude",
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> FaithfulnessCurve:
    """Faithfulness of the best edges at each share of the graph's edges.

    Raises:
        InputError: the shares do not ascend within 0 (not taken) to 1, or there is none.
    """
    if not len(shares) or not all(0 < share <= 1 for share in shares) or any(np.diff(shares) <= 0):
        raise InputError(
            f"shares {[*shares]} make no curve; give ascending fractions of the edges, above 0 and up to 1"
        )
    counts = [max(1, round(share * scores.graph.n_edges)) for share in shares]
    circuits = [scores.top(count, by=by).kept for count in counts]
    evaluations = evaluate_many(model, circuits, pairs, metric=metric, ablation=ablation, budget=budget, record=record)
    return FaithfulnessCurve(shares=tuple(shares), n_edges=tuple(counts), evaluations=tuple(evaluations))


def require_graph(model: HookedModel, circuit: Circuit) -> None:
    """Raise an `InputError` unless the circuit belongs to a graph of the model's shape."""
    if circuit.graph != model.graph:
        raise InputError(f"the circuit was found in a graph of another shape than that of {model.spec}")


@checked
def random_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` random sets of `n_edges` edges, each shape [writer, reader]: the null of every claim about a circuit."""
    rng = np.random.default_rng(seed)
    at = np.argwhere(graph.exists)
    circuits = np.zeros((count, *graph.exists.shape), dtype=bool)
    for circuit in circuits:
        circuit[tuple(at[rng.choice(len(at), size=n_edges, replace=False)].T)] = True
    return list(circuits)


def circuit_metrics(
    model: HookedModel,
    kept: KeptEdges,
    pairs: PromptPairs,
    metric: BoundMetric,
    *,
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> PerCircuit:
    """The metric of every circuit on every pair, edges outside the circuit ablated."""
    clean, corrupt = (record(model, tokens) for tokens in (pairs.clean, pairs.corrupt))
    with model.running():
        (values,) = circuit_values(model, kept, clean, corrupt, [metric], ablation=ablation, budget=budget)
    return values


def metrics_of_recording(
    model: HookedModel, run: Recording, metrics: Sequence[BoundMetric], *, budget: int | None = None
) -> Float[Tensor, "metric pair"]:
    """Metrics of a recorded run as it was, pairs in chunks that fit the budget."""
    n, length = metrics[0].pairs.clean.shape
    each = bytes_per_prompt(model, length) + bytes_of_reading(model)
    chunk = items_that_fit(each, n, device=model.device, budget=budget)
    parts = []
    for rows in (slice(start, start + chunk) for start in range(0, n, chunk)):
        logits = final_logits(model, run[rows])
        parts.append(torch.stack([metric[rows](logits).cpu().double() for metric in metrics]))
    return torch.cat(parts, 1)


def _metrics(
    model: HookedModel, metric: str | MetricFunction, pairs: PromptPairs, clean: Recording, budget: int | None
) -> tuple[BoundMetric, ...]:
    """The metric, and beside it minus the divergence from the clean run and the accuracy."""

    @torch.no_grad()
    def make(rows: slice) -> Tensor:
        n = rows.stop - rows.start
        chunk = items_that_fit(bytes_per_prompt(model, pairs.length), n, device=model.device, budget=budget)
        starts = range(rows.start, rows.stop, chunk)
        parts = [final_logits(model, clean[start : min(start + chunk, rows.stop)]) for start in starts]
        return log_softmax(torch.cat(parts).float(), -1)

    reference = clean_log_probs(make, len(pairs), model, budget=budget)
    divergence = BoundMetric(name=KL.name, function=None, pairs=pairs, clean_log_probs=reference)
    first = divergence if metric == KL.name else bind_metric(metric, model, pairs)
    return first, divergence, bind_metric("accuracy", model, pairs)
