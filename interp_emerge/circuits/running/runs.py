"""The bundle that circuits are run with: a model, prompt pairs, a metric, an ablation, and how much memory to take.

1. `evaluations` runs many circuits on the same pairs in batches. Edges outside a circuit carry what the ablation puts
   there (`patching.engines.circuit_run`): their writer's output in the corrupt run (`resample`), its mean over the
   corrupt prompts and positions (`mean`), or at each position (`mean_by_position`), or nothing (`zero`).
2. `evaluate` gives one circuit's `Evaluation` (`circuits.running.faithfulness`): faithfulness, divergence, accuracy.
3. `curve` evaluates the best edges at the sizes of MIB's grid (Mueller et al., 2025, https://arxiv.org/abs/2504.13151).
4. `metric_of` gives the metric alone, of any number of circuits, in pieces that fit in memory.

At the level of nodes a circuit keeps every edge that its nodes write, so that what is ablated is the whole output of
the nodes outside. Under resample ablation the run with every edge ablated is the corrupt run. Elsewhere it is a run of
its own, and what hangs on no path from the embedding still counts: a node whose inputs are means does not write a mean.

Cost: at most one forward pass a circuit, plus one norm for each different input.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Literal, get_args

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
    require_metric,
)
from interp_emerge.caching.recording import Recording, bytes_per_prompt, final_logits, record
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import Ablation
from interp_emerge.patching.base import EdgeScores, Recorder
from interp_emerge.patching.engines.circuit_run import circuit_values
from interp_emerge.stats.intervals import Interval, ratio_interval

CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE = 256, 1 << 26
"""Circuits in one piece of work, and the bytes that their edges may take, which decides for large models."""
Level = Literal["edges", "nodes"]
LEVELS: tuple[Level, ...] = get_args(Level)
ARGUMENTS = ("model", "pairs", "metric", "ablation", "seed", "budget", "record")
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the graph's edges at which curves are taken."""


class Runs:
    """What circuits of one model are run on, and how."""

    @checked
    def __init__(
        self,
        model: HookedModel,
        pairs: PromptPairs,
        *,
        metric: str | MetricFunction = "logit_diff",
        ablation: Ablation = "resample",
        seed: int = 0,
        budget: int | None = None,
        record: Recorder = record,
    ) -> None:
        """Nothing is run yet.

        Args:
            model: the model that the circuits are claimed for.
            pairs: prompt pairs; to judge a circuit, others than it was found on.
            metric: name of a metric, or a callable from logits and pairs to one value a pair.
            ablation: what stands for the edges outside.
            seed: of everything that is drawn: random circuits, sets of nodes, halves of the pairs, bootstrap samples.
            budget: bytes that a batch of circuits may need; by default a constant for the kind of device.
            record: gets the activations of a run; by default runs the model.

        Raises:
            UnknownNameError: no metric or ablation has the name.
            InputError: an argument of another kind, or pairs that do not fit the model.
        """
        require_metric(metric)
        require_pairs(model, pairs)
        self.model, self.pairs = model, pairs
        self.metric, self.ablation, self.seed = metric, ablation, seed
        self.budget, self.record = budget, record

    def __repr__(self) -> str:
        metric = self.metric if isinstance(self.metric, str) else getattr(self.metric, "__name__", "custom")
        return f"Runs({self.model.spec}, {len(self.pairs)} pairs, {metric}, {self.ablation} ablation)"

    @checked
    def evaluate(self, circuit: Circuit, *, level: Level = "edges") -> Evaluation:
        """What a circuit keeps of the model's behaviour, everything outside it ablated.

        Args:
            circuit: edges of the model's graph.
            level: whether all edges outside the circuit are ablated, or only the outputs of nodes outside it.

        Raises:
            InputError: the circuit belongs to a graph of another shape.
            UnknownNameError: no level has the name.
        """
        self.model.require_graph(circuit.graph)
        kept = circuit.kept if level == "edges" else circuit.graph.exists & circuit.kept.any(1, keepdims=True)
        return self.evaluations([kept])[0]

    def evaluations(self, circuits: Sequence[EdgeMask]) -> list[Evaluation]:
        """Evaluations of circuits that fit in memory together.

        Raises:
            InputError: edges of another shape than the graph's.
        """
        graph, nothing = self.model.graph, np.zeros_like(self.model.graph.exists)
        if any(edges.shape != nothing.shape for edges in circuits):
            raise InputError(f"a circuit of {self.model.spec} needs edges of shape {nothing.shape}")
        if not len(circuits):
            return []
        clean_run, corrupt_run = (self.record(self.model, tokens) for tokens in (self.pairs.clean, self.pairs.corrupt))
        metrics = self._metrics(clean_run)
        clean = self._read(clean_run, metrics)
        # Under resample ablation what pruning drops changes nothing: circuits equal without it share a run.
        asked = [graph.prune(edges) if self.ablation == "resample" else edges & graph.exists for edges in circuits]
        values = {graph.exists.tobytes(): clean}
        if self.ablation == "resample":
            values[nothing.tobytes()] = self._read(corrupt_run, metrics)
        distinct = {edges.tobytes(): edges for edges in [nothing, *asked]}
        left = {name: edges for name, edges in distinct.items() if name not in values}
        if left:
            masks = torch.from_numpy(np.stack([*left.values()]))
            with self.model.running():
                found = circuit_values(
                    self.model, masks, clean_run, corrupt_run, metrics, ablation=self.ablation, budget=self.budget
                )
            values |= dict(zip(left, torch.stack(found, 1).cpu().double().numpy(), strict=True))
        corrupt = values[nothing.tobytes()]
        return [
            Evaluation(
                metric=values[edges.tobytes()][0],
                clean=clean[0],
                corrupt=corrupt[0],
                kl=-values[edges.tobytes()][1],
                right=values[edges.tobytes()][2],
                ablation=self.ablation,
                templates=self.pairs.templates,
            )
            for edges in asked
        ]

    def curve(
        self, scores: EdgeScores, *, shares: Sequence[float] = GRID, by: Literal["score", "magnitude"] = "magnitude"
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
        evaluations = self.evaluations([scores.top(count, by=by).kept for count in counts])
        return FaithfulnessCurve(shares=tuple(shares), n_edges=tuple(counts), evaluations=tuple(evaluations))

    @cached_property
    def whole(self) -> Evaluation:
        """The whole model's run, which holds the run with every edge ablated too."""
        return self.evaluations([self.model.graph.exists])[0]

    @property
    def gap(self) -> np.ndarray:
        """Metric of the whole model less that with every edge ablated, shape [pair]."""
        return self.whole.clean - self.whole.corrupt

    def metric_of(self, circuits: Iterable[EdgeMask], n: int) -> np.ndarray:
        """The metric of `n` circuits, which may be made as they are asked for, shape [circuit, pair]."""
        at_once = max(1, min(CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE // self.model.graph.exists.nbytes))
        values, remaining = np.empty((n, len(self.pairs))), iter(circuits)
        for start in range(0, n, at_once):
            part = self.evaluations([*islice(remaining, at_once)])
            values[start : start + len(part)] = [evaluation.metric for evaluation in part]
        return values

    def share_interval(self, difference: np.ndarray) -> Interval:
        """A difference of metrics, shape [pair], as a share of the gap; NaN where the gap is within noise."""
        if not self.whole.defined:
            return Interval.undefined()
        return ratio_interval(difference, self.gap)

    def halves(self, rng: np.random.Generator) -> tuple["Runs", "Runs"]:
        """The same runs on two halves of the pairs: one to choose sets on, the other to measure them on.

        Raises:
            InputError: fewer than four pairs.
        """
        n = len(self.pairs)
        if n < 4:
            raise InputError(f"sets are chosen on one half of the pairs and measured on the other: {n} pairs are too "
                             "few, give at least 4")  # fmt: skip
        order = rng.permutation(n)
        first, second = (self.but(pairs=self.pairs[np.sort(part)]) for part in (order[: n // 2], order[n // 2 :]))
        return first, second

    def but(self, **changes: Any) -> "Runs":
        """The same runs with other arguments: other pairs, another ablation."""
        own = {name: getattr(self, name) for name in ARGUMENTS}
        return Runs(**(own | changes))

    def _metrics(self, clean: Recording) -> tuple[BoundMetric, ...]:
        """The metric, and beside it minus the divergence from the clean run and the accuracy."""
        model, pairs, each = self.model, self.pairs, bytes_per_prompt(self.model, self.pairs.length)

        @torch.no_grad()
        def make(rows: slice) -> Tensor:
            chunk = items_that_fit(each, rows.stop - rows.start, device=model.device, budget=self.budget)
            starts = range(rows.start, rows.stop, chunk)
            parts = [final_logits(model, clean[start : min(start + chunk, rows.stop)]) for start in starts]
            return log_softmax(torch.cat(parts).float(), -1)

        reference = clean_log_probs(make, len(pairs), model, budget=self.budget)
        divergence = BoundMetric(name=KL.name, function=None, pairs=pairs, clean_log_probs=reference)
        first = divergence if self.metric == KL.name else bind_metric(self.metric, model, pairs)
        return first, divergence, bind_metric("accuracy", model, pairs)

    def _read(self, run: Recording, metrics: Sequence[BoundMetric]) -> Float[np.ndarray, "metric pair"]:
        """Metrics of a recorded run as it was, pairs in chunks that fit the budget."""
        n, length = self.pairs.clean.shape
        each = bytes_per_prompt(self.model, length) + bytes_of_reading(self.model)
        chunk = items_that_fit(each, n, device=self.model.device, budget=self.budget)
        parts = []
        for rows in (slice(start, start + chunk) for start in range(0, n, chunk)):
            logits = final_logits(self.model, run[rows])
            parts.append(torch.stack([metric[rows](logits).cpu().double() for metric in metrics]))
        return torch.cat(parts, 1).numpy()
