"""What circuits are run with: a model, prompt pairs, a metric, an ablation, a seed, and a budget of memory.

1. `evaluations` runs many circuits on the same pairs in batches. An edge outside a circuit carries what the ablation
   puts there (`patching.engines.circuit_run`): its writer's output in the corrupted run (`resample`), the mean of that
   over prompts and positions (`mean`) or over prompts at each position (`mean_by_position`), or zero (`zero`).
2. `evaluate` gives one circuit's `Evaluation` (`circuits.running.faithfulness`): faithfulness, divergence, accuracy.
3. `curve` evaluates the best edges by score, and by magnitude of score, at the sizes of MIB's grid (Mueller et al.,
   2025, https://arxiv.org/abs/2504.13151).
4. `metric_of` gives only the metric, of any number of circuits, in batches that fit in memory.
5. Calls within `with runs.held():` share the two runs of the pairs (`circuits.running.prepared`).

At the level of nodes a circuit keeps every edge that its nodes write, so only the whole outputs of nodes outside are
ablated. Under resample ablation the run with every edge ablated is the corrupted run. Under other ablations it is a run
of its own, and edges that lie on no path from the embedding still have an effect: a node whose inputs are means does
not write its mean output.

Cost: at most one forward pass a circuit, plus one norm for each different input.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Float

from interp_emerge.abilities.metrics import MetricFunction, require_metric
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.circuits.running.prepared import N_METRICS, Prepared, what_fits
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.patching.ablation import MEANS, Ablation
from interp_emerge.patching.base import EdgeScores, Recorder
from interp_emerge.stats.intervals import Interval, ratio_interval

CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE = 256, 1 << 26
"""Largest number of circuits in a batch, and of bytes of their edge masks, which is the limit for large models."""
Level = Literal["edges", "nodes"]
LEVELS: tuple[Level, ...] = get_args(Level)
ARGUMENTS = ("model", "pairs", "metric", "ablation", "seed", "budget", "record")
GRID = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the graph's edges at which curves are evaluated."""
ROUNDING = 1e-9
"""A number of edges this far below a whole number is that number: 0.29 of 100 edges are 29."""


class Runs(Record):
    """What circuits of one model are run with: prompt pairs, metric, ablation, seed and memory budget.

    Example:
        >>> runs = ie.Runs(model, held_out, metric="prob_diff", ablation="zero")
        >>> runs.evaluate(circuit), runs.evaluate(circuit.without(["a0.h0"]))
    """

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
        """Stores the arguments; runs nothing.

        Args:
            model: the model that the circuits are claimed for.
            pairs: prompt pairs; to test a circuit, pairs that it was not found on. Those of one length run together.
            metric: name of a metric, or a callable from logits and pairs to one value a pair.
            ablation: what the edges outside a circuit carry.
            seed: of all draws: random circuits, sets of nodes, halves of the pairs, bootstrap samples.
            budget: bytes that a batch of circuits may need; by default a constant for the kind of device.
            record: gets the activations of a run; by default runs the model.

        Raises:
            UnknownNameError: no metric or ablation has the name.
            InputError: an argument has the wrong type, the pairs do not fit the model, or they have several lengths and
                the ablation is a mean.
        """
        require_metric(metric)
        require_pairs(model, pairs)
        if ablation in MEANS:
            pairs.require_one_length(f"ablation {ablation!r}")
        self.model, self.pairs = model, pairs
        self.metric, self.ablation, self.seed = metric, ablation, seed
        self.budget, self.record = budget, record
        self._holding, self._prepared = False, cast(Prepared | None, None)
        self._whole: tuple[Any, Evaluation] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ARGUMENTS and name in self.__dict__:
            raise InputError(f"runs keep their {name}; make others with runs.replace({name}=…)")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        metric = self.metric if isinstance(self.metric, str) else getattr(self.metric, "__name__", "custom")
        return f"Runs({self.model.spec}, {len(self.pairs)} pairs, {metric}, {self.ablation} ablation)"

    @checked
    def evaluate(self, circuit: Circuit, *, level: Level = "edges") -> Evaluation:
        """What a circuit keeps of the model's behaviour, with everything outside it ablated.

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

    def evaluations(self, circuits: Sequence[EdgeMask], *, what: str = "circuits") -> list[Evaluation]:
        """Evaluations of circuits that fit in memory together; `what` they are is for the progress bar.

        Raises:
            InputError: the edges do not have the graph's shape.
        """
        graph, nothing = self.model.graph, np.zeros_like(self.model.graph.exists)
        if any(edges.shape != nothing.shape for edges in circuits):
            raise InputError(f"circuits of {self.model.spec} have edges of shape {nothing.shape}; give such arrays")
        if not len(circuits):
            return []
        if len(self._groups) > 1:
            found = [group.evaluations(circuits, what=what) for group in self._groups]
            return [_joined(parts, self.pairs) for parts in zip(*found, strict=True)]
        asked, values = self._values(circuits, N_METRICS, what)
        clean, corrupt = values[graph.exists.tobytes()], values[nothing.tobytes()]
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

    def _values(
        self, circuits: Sequence[EdgeMask], n_metrics: int, what: str
    ) -> tuple[list[EdgeMask], dict[bytes, Float[np.ndarray, "metric pair"]]]:
        """The circuits as they are run, and their first metrics by their edges, on pairs of one length."""
        graph, nothing = self.model.graph, np.zeros_like(self.model.graph.exists)
        prepared = self._prepared or self._prepare()
        prepared.require_same_model()
        # Under resample ablation dead ends change nothing: circuits that are equal once pruned share a run.
        asked = [graph.prune(edges) if self.ablation == "resample" else edges & graph.exists for edges in circuits]
        values = prepared.ends(n_metrics)
        distinct = {edges.tobytes(): edges for edges in [nothing, *asked]}
        left = {name: edges for name, edges in distinct.items() if name not in values}
        if left:
            values |= dict(zip(left, prepared.values(np.stack([*left.values()]), n_metrics, what), strict=True))
        return asked, values

    def _prepare(self, *, keep_both: bool = True) -> Prepared:
        return Prepared(
            self.model, self.pairs, metric=self.metric, ablation=self.ablation, budget=self.budget, record=self.record,
            keep_both=keep_both,
        )  # fmt: skip

    @property
    def _groups(self) -> "list[Runs]":
        """The same runs on the pairs of each length."""
        return self._by_length or [self]

    @cached_property
    def _by_length(self) -> "list[Runs]":
        groups = [group for _, group in self.pairs.by_length()]
        return [self.replace(pairs=group) for group in groups] if len(groups) > 1 else []

    @contextmanager
    def held(self) -> Iterator[None]:
        """While open, both runs of the pairs stay in memory for all calls, if they need at most half of the budget.

        If the model is changed meanwhile, the next call is refused.

        Example:
            >>> with runs.held():
            ...     found = [runs.evaluate(one) for one in (circuit, circuit.complement())]
        """
        groups = self._groups
        if self._holding:
            yield
            return
        sizes = {group.pairs.length: len(group.pairs) for group in groups}
        keep_recordings, keep_both = what_fits(self.model, sizes, budget=self.budget)
        with self.model.running():
            try:
                self._holding = True
                for group in groups if keep_recordings else ():
                    group._prepared = group._prepare(keep_both=keep_both)
                yield
            finally:
                self._holding = False
                for group in groups:
                    group._prepared = None

    def curve(self, scores: EdgeScores, *, shares: Sequence[float] = GRID) -> FaithfulnessCurve:
        """Faithfulness of the best edges at each share of the graph's edges, by score and by magnitude of score.

        A share k of n edges is the whole number of edges that is not above k n. Circuits that are equal in both
        rankings share a run, so the cost lies between one and two runs a share.

        Raises:
            InputError: the shares do not ascend, one is not above 0 and at most 1, or there are none.
        """
        if not len(shares) or not all(0 < share <= 1 for share in shares) or any(np.diff(shares) <= 0):
            raise InputError(
                f"cannot draw a curve at the shares {[*shares]}; give ascending fractions of the edges, above 0 and up "
                "to 1"
            )
        counts = [int(share * scores.graph.n_edges + ROUNDING) for share in shares]
        nothing = np.zeros_like(scores.graph.exists)
        by_score, by_magnitude = (
            [scores.top(count, by=by).kept if count else nothing for count in counts] for by in ("score", "magnitude")
        )
        found = tuple(self.evaluations([*by_score, *by_magnitude]))
        return FaithfulnessCurve(
            shares=tuple(shares),
            n_edges=tuple(counts),
            by_score=found[: len(counts)],
            by_magnitude=found[len(counts) :],
        )

    @property
    def whole(self) -> Evaluation:
        """The whole model's evaluation; its `corrupt` is the metric with every edge ablated.

        It is made once for the weights that the model has, and anew when they have changed.
        """
        now = self.model.spec
        if self._whole is None or self._whole[0] != now:
            self._whole = now, self.evaluations([self.model.graph.exists])[0]
        return self._whole[1]

    @property
    def gap(self) -> np.ndarray:
        """The metric of the whole model minus that with every edge ablated, shape [pair]."""
        return self.whole.clean - self.whole.corrupt

    def metric_of(self, circuits: Iterable[EdgeMask], n: int, *, what: str = "circuits") -> np.ndarray:
        """The metric of `n` circuits, shape [circuit, pair]; the circuits may come from a generator.

        Cheaper than `evaluations`, because no logits of all tokens are needed. `what` is for the progress bar.
        """
        at_once = max(1, min(CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE // self.model.graph.exists.nbytes))
        values, remaining = np.empty((n, len(self.pairs))), iter(circuits)
        with self.held():
            for start in range(0, n, at_once):
                part, named = [*islice(remaining, at_once)], what if n <= at_once else f"{what}, {start} of {n} done"
                by_group = [group._metric_of(part, named) for group in self._groups]
                values[start : start + len(part)] = np.stack(
                    [self.pairs.in_order(rows) for rows in zip(*by_group, strict=True)]
                )
        return values

    def _metric_of(self, circuits: Sequence[EdgeMask], what: str) -> list[np.ndarray]:
        asked, values = self._values(circuits, 1, what)
        return [values[edges.tobytes()][0] for edges in asked]

    def share_interval(self, difference: np.ndarray) -> Interval:
        """A difference of metrics, shape [pair], as a share of the gap; NaN if the gap is not above noise."""
        if not self.whole.defined:
            return Interval.undefined()
        return ratio_interval(difference, self.gap)

    def halves(self, rng: np.random.Generator) -> tuple["Runs", "Runs"]:
        """The same runs on two random halves of the pairs: one to choose sets on, the other to measure them on.

        Raises:
            InputError: there are fewer than four pairs.
        """
        n = len(self.pairs)
        if n < 4:
            raise InputError(f"{n} pairs are too few to choose sets on one half and measure them on the other; give at "
                             "least 4")  # fmt: skip
        order = rng.permutation(n)
        first, second = (self.replace(pairs=self.pairs[np.sort(part)]) for part in (order[: n // 2], order[n // 2 :]))
        return first, second

    def replace(self, **changes: Any) -> "Runs":
        """The same runs with some arguments changed, such as the pairs or the ablation."""
        own = {name: getattr(self, name) for name in ARGUMENTS}
        return Runs(**(own | changes))


def runs_of(runs: Runs | HookedModel, pairs: PromptPairs | None) -> Runs:
    """The runs as given, or those of a model on pairs with all other arguments at their defaults.

    Raises:
        InputError: pairs are missing, or given twice.
    """
    if isinstance(runs, Runs):
        if pairs is not None:
            raise InputError("the runs have pairs already; give either ie.Runs(model, pairs), or a model and pairs")
        return runs
    if pairs is None:
        raise InputError("the pairs are missing; give ie.Runs(model, pairs), or a model and pairs")
    return Runs(runs, pairs)


def _joined(parts: Sequence[Evaluation], pairs: PromptPairs) -> Evaluation:
    """The evaluation on all pairs from those of each group of `pairs.by_length()`."""
    values = {
        name: pairs.in_order([getattr(part, name) for part in parts])
        for name in ("metric", "clean", "corrupt", "kl", "right")
    }
    return Evaluation(**values, ablation=parts[0].ablation, templates=pairs.templates)
