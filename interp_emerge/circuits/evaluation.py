"""How much of an ability a circuit carries: run the model with every edge outside the circuit ablated.

1. `circuit_metrics` runs many circuits on the same pairs in batches, the edges outside a circuit taking the values that
   they have in the corrupt run (`patching._circuit_run`).
2. `evaluate` turns the metric into faithfulness: (m(C) - m(∅)) / (m(M) - m(∅)), a ratio of means over pairs with a
   bootstrap interval. Where the clean-corrupt gap is not above zero with 97.5% confidence it is undefined: NaN.
3. `faithfulness_curve` evaluates the best edges at the sizes of MIB's grid (Mueller et al., 2025,
   https://arxiv.org/abs/2504.13151).

Under resample ablation the ablated outputs are those of the corrupt run, so the empty circuit is the corrupt run and
the full circuit the clean one. Cost: at most one forward pass a circuit, plus one norm for each different input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from interp_emerge.abilities._metrics import BoundMetric, MetricFunction, bind_metric
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import final_logits, record
from interp_emerge.core.axes import KeptEdges, PerCircuit
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.decoder import only_running
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.intervals import Interval, mean_interval, ratio_interval
from interp_emerge.core.model import HookedModel
from interp_emerge.patching._circuit_run import circuit_values
from interp_emerge.patching.base import EdgeScores, Recorder

Ablation = Literal["resample"]
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the graph's edges at which curves are taken."""


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
    clean_run, corrupt_run = (record(model, tokens) for tokens in (pairs.clean, pairs.corrupt))
    clean, corrupt = (bound(final_logits(model, run)).cpu().double().numpy() for run in (clean_run, corrupt_run))
    # What pruning drops changes nothing, so circuits that are equal without it share one run, and an empty one none.
    pruned = [model.graph.prune(edges) for edges in kept]
    distinct = {edges.tobytes(): edges for edges in pruned if edges.any()}
    values = {np.zeros(shape, dtype=bool).tobytes(): corrupt}
    if distinct:
        masks = torch.from_numpy(np.stack(list(distinct.values())))
        with only_running(model.hf):
            found = circuit_values(model, masks, clean_run, corrupt_run, bound, budget=budget)
        rows = found.cpu().double().numpy()
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
    clean, corrupt = (record(model, tokens) for tokens in (pairs.clean, pairs.corrupt))
    with only_running(model.hf):
        return circuit_values(model, kept, clean, corrupt, metric, budget=budget)
