"""Runs of many circuits of one model on the same pairs, in pieces that fit in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.circuits.running.evaluation import Ablation, evaluate_many
from interp_emerge.circuits.running.faithfulness import Evaluation
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import Recorder
from interp_emerge.stats.intervals import Interval, ratio_interval

CIRCUITS_AT_ONCE, MASK_BYTES_AT_ONCE = 256, 1 << 26
"""Circuits in one piece of work, and the bytes that their edges may take, which decides for large models."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CircuitRuns:
    """What many circuits of one model are run on, and how."""

    model: HookedModel
    pairs: PromptPairs
    metric: str | MetricFunction
    ablation: Ablation
    budget: int | None
    record: Recorder

    def evaluations(self, circuits: Sequence[np.ndarray]) -> list[Evaluation]:
        """Evaluations of circuits that fit in memory together."""
        options = {"metric": self.metric, "ablation": self.ablation, "budget": self.budget, "record": self.record}
        return evaluate_many(self.model, circuits, self.pairs, **options)

    @cached_property
    def whole(self) -> Evaluation:
        """The whole model's run, which holds the run with every edge ablated too."""
        return self.evaluations([self.model.graph.exists])[0]

    @property
    def gap(self) -> np.ndarray:
        """Metric of the whole model less that with every edge ablated, shape [pair]."""
        return self.whole.clean - self.whole.corrupt

    def metric_of(self, circuits: Iterable[np.ndarray], n: int) -> np.ndarray:
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


def halves(runs: CircuitRuns, rng: np.random.Generator) -> tuple[CircuitRuns, CircuitRuns]:
    """The same runs on two halves of the pairs: one to choose sets on, the other to measure them on.

    Raises:
        InputError: fewer than four pairs.
    """
    n = len(runs.pairs)
    if n < 4:
        raise InputError(f"sets are chosen on one half of the pairs and measured on the other: {n} pairs are too few, "
                         "give at least 4")  # fmt: skip
    order = rng.permutation(n)
    first, second = (replace(runs, pairs=runs.pairs[np.sort(part)]) for part in (order[: n // 2], order[n // 2 :]))
    return first, second
