"""How much of an ability a circuit carries: run the model with every edge outside the circuit ablated.

1. `circuit_metrics` runs many circuits on the same pairs in batches. The input of each reader is its live input plus,
   over the writers outside the circuit, the ablated output less the live one (Hanna et al., 2024,
   https://arxiv.org/abs/2403.17806). Queries, keys and values of every head get inputs of their own; those that lack
   the same writers share one.
2. `evaluate` turns the metric into faithfulness: (m(C) - m(∅)) / (m(M) - m(∅)), a ratio of means over pairs with a
   bootstrap interval. Where the clean-corrupt gap is not above zero with 97.5% confidence it is undefined: NaN.
3. `faithfulness_curve` evaluates the best edges at the sizes of MIB's grid (Mueller et al., 2025,
   https://arxiv.org/abs/2504.13151).

Under resample ablation the ablated outputs are those of the corrupt run, so the empty circuit is the corrupt run and
the full circuit the clean one. Cost: one forward pass a circuit, plus one norm for each different input. Memory: one
vector of `d_model` for each circuit, pair, position and writer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interp_emerge.abilities._metrics import BoundMetric, MetricFunction, bind_metric
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import record, writer_outputs
from interp_emerge.core.axes import KeptEdges, PerCircuit, WriterOutputs
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.intervals import Interval, mean_interval, ratio_interval
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import Block, Hook, HookedModel, Projection, hooked
from interp_emerge.patching.base import EdgeScores, Recorder

Ablation = Literal["resample"]
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the graph's edges at which curves are taken."""
BATCH_TOKENS = 1024
"""Circuits share a batch up to this many tokens, which keep a processor busy. The fewer they are, the more readers lack
the same writers in all of them: of 16 pairs × 27 tokens, one circuit at a time takes 0.7 of the time of five."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A circuit's metric beside the whole model's, one value a pair each, shape [pair].

    `faithfulness` is the fraction of the clean-corrupt gap that the circuit keeps; it may leave [0, 1], and is NaN
    where the gap is not above noise.
    """

    metric: np.ndarray
    clean: np.ndarray
    corrupt: np.ndarray
    ablation: str

    @property
    def gap(self) -> Interval:
        """Mean clean-corrupt gap of the metric."""
        return mean_interval(self.clean - self.corrupt)

    @property
    def defined(self) -> bool:
        """Whether the gap is above zero beyond resampling noise."""
        return self.gap.low > 0

    @property
    def interval(self) -> Interval:
        """Faithfulness with its 95% interval, bootstrap over pairs; NaN where it is undefined."""
        if not self.defined:
            return Interval(np.nan, np.nan, np.nan)
        return ratio_interval(self.metric - self.corrupt, self.clean - self.corrupt)

    @property
    def faithfulness(self) -> float:
        return self.interval.value

    @property
    def ci(self) -> tuple[float, float]:
        """Ends of the 95% interval of the faithfulness."""
        return self.interval.low, self.interval.high

    def __repr__(self) -> str:
        if not self.defined:
            return f"Evaluation(faithfulness undefined: clean-corrupt gap {self.gap.value:.3g} is within noise)"
        return f"Evaluation(faithfulness {self.faithfulness:.3f} [{self.ci[0]:.3f}, {self.ci[1]:.3f}])"


@dataclass(frozen=True, kw_only=True, eq=False)
class FaithfulnessCurve:
    """Faithfulness of the best edges at growing shares of the graph."""

    shares: tuple[float, ...]
    n_edges: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a size: `share`, `n_edges`, `faithfulness`, `ci_low`, `ci_high`."""
        intervals = [evaluation.interval for evaluation in self.evaluations]
        return pd.DataFrame(
            {
                "share": self.shares,
                "n_edges": self.n_edges,
                "faithfulness": [interval.value for interval in intervals],
                "ci_low": [interval.low for interval in intervals],
                "ci_high": [interval.high for interval in intervals],
            }
        )

    @property
    def cpr(self) -> float:
        """Area under faithfulness over the share of edges, from the first share on."""
        return float(np.trapezoid([e.faithfulness for e in self.evaluations], self.shares))

    @property
    def cmd(self) -> float:
        """Area between faithfulness and 1 over the share of edges, from the first share on."""
        return float(np.trapezoid([abs(1 - e.faithfulness) for e in self.evaluations], self.shares))


def evaluate(
    model: HookedModel,
    circuit: Circuit,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> Evaluation:
    """A circuit's faithfulness on the pairs, everything outside it ablated.

    Raises:
        InputError: the circuit belongs to a graph of another shape, or the ablation is unknown.
    """
    if circuit.graph != model.graph:
        raise InputError(f"the circuit was found in a graph of another shape than that of {model.spec}")
    (evaluation,) = evaluate_many(
        model, [circuit.kept], pairs, metric=metric, ablation=ablation, budget=budget, record=record
    )
    return evaluation


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
        InputError: a circuit of another shape, or an unknown ablation.
    """
    if ablation != "resample":
        raise InputError(f"ablation {ablation!r} is not offered; use 'resample'")
    shape = model.graph.exists.shape
    if any(edges.shape != shape for edges in kept):
        raise InputError(f"a circuit of {model.spec} needs edges of shape {shape}")
    for tokens in (pairs.clean, pairs.corrupt):
        model.require_tokens(tokens)
    bound = bind_metric(metric, model, pairs)
    whole = [bound(record(model, tokens).logits).cpu().double().numpy() for tokens in (pairs.clean, pairs.corrupt)]
    clean, corrupt = whole
    # What pruning drops changes nothing, so circuits that are equal without it share one run, and an empty one none.
    pruned = [model.graph.prune(edges) for edges in kept]
    distinct = {edges.tobytes(): edges for edges in pruned if edges.any()}
    values = {np.zeros(shape, dtype=bool).tobytes(): corrupt}
    if distinct:
        masks = torch.from_numpy(np.stack(list(distinct.values())))
        rows = circuit_metrics(model, masks, pairs, bound, budget=budget, record=record).cpu().double().numpy()
        values |= dict(zip(distinct, rows, strict=True))
    return [Evaluation(metric=values[e.tobytes()], clean=clean, corrupt=corrupt, ablation=ablation) for e in pruned]


def faithfulness_curve(
    model: HookedModel,
    scores: EdgeScores,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    shares: Sequence[float] = GRID,
    by: Literal["score", "magnitude"] = "magnitude",
    budget: int | None = None,
) -> FaithfulnessCurve:
    """Faithfulness of the best edges at each share of the graph's edges."""
    counts = [max(1, round(share * scores.graph.n_edges)) for share in shares]
    circuits = [scores.top(count, by=by).kept for count in counts]
    evaluations = evaluate_many(model, circuits, pairs, metric=metric, budget=budget)
    return FaithfulnessCurve(shares=tuple(shares), n_edges=tuple(counts), evaluations=tuple(evaluations))


def random_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` random sets of `n_edges` edges, each shape [writer, reader]: the null of every claim about a circuit."""
    rng = np.random.default_rng(seed)
    at = np.argwhere(graph.exists)
    circuits = np.zeros((count, *graph.exists.shape), dtype=bool)
    for circuit in circuits:
        circuit[tuple(at[rng.choice(len(at), size=n_edges, replace=False)].T)] = True
    return list(circuits)


@torch.no_grad()
def circuit_metrics(
    model: HookedModel,
    kept: KeptEdges,
    pairs: PromptPairs,
    metric: BoundMetric,
    *,
    budget: int | None = None,
    record: Recorder = record,
) -> PerCircuit:
    """The metric of every circuit on every pair, edges outside the circuit taking their corrupt values."""
    width, graph = model.hf.config.hidden_size, model.graph
    inputs = graph.n_heads + 2 * graph.n_kv_heads
    each = 4 * pairs.length * width * (len(graph.writers) + 4 * inputs + 10)
    rows = items_that_fit(each, len(kept) * len(pairs), device=model.device, budget=budget)
    pair_chunk = min(len(pairs), rows)
    circuit_chunk = max(1, min(rows, BATCH_TOKENS // pairs.length) // pair_chunk)
    corrupt = record(model, pairs.corrupt)
    parts = []
    for start in range(0, len(pairs), pair_chunk):
        part = slice(start, start + pair_chunk)
        ablated = writer_outputs(model, corrupt[part])
        values = [
            metric[part](_run_circuits(model, masks, pairs.clean[part], ablated)) for masks in kept.split(circuit_chunk)
        ]
        parts.append(torch.cat(values))
    return torch.cat(parts, 1)


def _run_circuits(model: HookedModel, kept: KeptEdges, tokens: Tensor, ablated: WriterOutputs) -> Tensor:
    """Logits of each circuit, shape [circuit, pair, d_vocab]."""
    run = _CircuitRun(model.graph, kept, ablated)
    hooks: list[Hook] = []
    reader = 0
    for layer, block in enumerate(model.anatomy.blocks):
        sides = (block.q, block.k, block.v)
        attention = slice(reader, reader + sum(len(side.features) for side in sides))
        if layer == 0:
            hooks.append((block.module, "input", run.write_one))
        hooks.append((block.attention_norm, "input", run.reading_normed(attention, block.attention_norm)))
        hooks += _replace_projections(run, sides)
        hooks.append((block.attention_out, "input", run.writing_heads(block)))
        hooks.append((block.mlp_norm, "input", run.reading(attention.stop)))
        hooks.append((block.mlp, "output", run.write_one))
        reader = attention.stop + 1
    hooks.append((model.anatomy.final_norm, "input", run.reading(reader)))
    with hooked(hooks):
        logits = model.logits(tokens.repeat(len(kept), 1))
    return logits.unflatten(0, (len(kept), len(tokens)))


class _CircuitRun:
    """The state of one batch of circuits: how far each live writer is from its ablated value."""

    def __init__(self, graph: Graph, kept: Tensor, ablated: WriterOutputs) -> None:
        self.excluded = (torch.from_numpy(graph.exists) & ~kept.cpu()).mT
        self.ablated = ablated.movedim(2, 0)
        self.missing = ablated.new_empty(len(kept), *self.ablated.shape)
        self.n_written = 0
        self.normed, self.which = torch.empty(0), torch.empty(0)

    def _write(self, live: Tensor) -> None:
        """Note writers' live outputs, shape [row, pos, writer, d_model]."""
        writers = slice(self.n_written, self.n_written + live.shape[2])
        live = live.unflatten(0, (len(self.missing), -1)).movedim(3, 1)
        torch.sub(self.ablated[writers], live, out=self.missing[:, writers])
        self.n_written = writers.stop

    def write_one(self, value: Tensor) -> None:
        self._write(value.unsqueeze(2))

    def writing_heads(self, block: Block):
        def write(z: Tensor) -> None:
            self._write(block.head_outputs(z))

        return write

    def _inputs_of(self, readers: slice, live: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of some readers from the live residual stream, and which of these each reader takes.

        Readers that lack the same writers in every circuit share an input. Shape [input, row, pos, d_model].
        """
        # Writers of a later stage exist for none of these readers, so those that have run are all that count.
        outside, which = self.excluded[:, readers, : self.n_written].unique(dim=1, return_inverse=True)
        missing = self.missing[:, : self.n_written]
        change = (outside.to(live) @ missing.flatten(2)).unflatten(2, missing.shape[2:])
        return live + change.movedim(1, 0).flatten(1, 2), which

    def reading(self, reader: int):
        def read(live: Tensor) -> Tensor:
            return self._inputs_of(slice(reader, reader + 1), live)[0].squeeze(0)

        return read

    def reading_normed(self, readers: slice, norm: torch.nn.Module):
        def read(live: Tensor) -> None:
            inputs, self.which = self._inputs_of(readers, live)
            self.normed = norm.forward(inputs)

        return read


def _replace_projections(run: _CircuitRun, sides: Sequence[Projection]) -> list[Hook]:
    """Hooks that give each head's queries, keys and values the projection of that reader's own input."""

    def project(module: torch.nn.Module, output: Tensor) -> Tensor:
        replaced = output.clone()
        for side, which in zip(sides, run.which.split([len(side.features) for side in sides]), strict=True):
            if side.module is module:
                weight, bias = side.weight(), side.bias()
                for index in which.unique():
                    heads = which == index
                    made = run.normed[index] @ weight[heads].flatten(0, 1).T
                    if bias is not None:
                        made += bias[heads].flatten()
                    replaced[..., side.features[heads].flatten()] = made
        return replaced

    modules = dict.fromkeys(side.module for side in sides)
    return [(module, "output", lambda output, module=module: project(module, output)) for module in modules]
