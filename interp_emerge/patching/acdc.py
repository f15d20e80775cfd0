"""ACDC: take one edge after the other out of the model, for good where the metric hardly falls (Conmy et al., 2023).

1. `_in_order` lists the edges by reader from the logits back to the first layer, and each reader's by writer from the
   latest to the embedding, so that all that lies behind an edge is decided before it.
2. An edge is tested in what is left of the model, where all edges taken out so far carry their corrupt values. If the
   metric falls without it by less than `threshold` (option; 0.01 by default, in the metric's unit), it is taken out.
3. Several edges are tested at once on the bet that all of them go: row i of a batch lacks the first i of them.
   `_decide` accepts the edges up to the first one that has to stay and throws the rows after it away. The result is
   that of one test at a time. The bet grows as it wins and shrinks to what it won when it loses.
4. An edge into a reader that reaches no logits any more has effect 0, without a run.

The score of an edge is the metric's fall when it was tested, mean over pairs: `scores.above(threshold)` is the circuit
that ACDC finds, and scores are no ranking. With `metric="kl"` (minus the divergence from the clean run) it is the
paper's, which tests the increase of the divergence. Positive means that the clean value of the edge helps, in what was
left of the model; other thresholds leave other models, and give other scores.

Cost: one run an edge from its reader's block on, and those thrown away. The result depends on the order of the heads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from interp_emerge.caching.recording import final_logits
from interp_emerge.core.graph import Graph
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask, require_ordinary_run
from interp_emerge.patching.engines.circuit_run import RecordedRun, batch_sizes, run_circuits
from interp_emerge.patching.engines.options import NoOptions


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    """Options of `acdc`."""

    threshold: Annotated[float, "fall of the metric, in its unit, from which on an edge is kept"] = 0.01


@torch.no_grad()
def run(task: PatchingTask[Options]) -> EdgeScores:
    graph, threshold = task.graph, task.options.threshold
    test = _Tests(task)
    search = _Search(graph=graph, threshold=threshold, value=test.whole())
    progress = iter(task.bar(range(graph.n_edges), "acdc"))
    length = test.most_rows
    while search.undecided:
        before = len(search.undecided)
        plan = _plan(search, length)
        masks = [mask for _, mask in plan if mask is not None]
        won = _decide(search, plan, test.values(masks) if masks else np.empty((0, len(task.pairs))))
        length = min(test.most_rows, 2 * length) if won == len(masks) else max(1, won)
        for _ in range(before - len(search.undecided)):
            next(progress)
    next(progress, None)
    require_ordinary_run(torch.from_numpy(search.falls), "acdc scores")
    return EdgeScores.from_pairs(graph, search.falls[:, *np.nonzero(graph.exists)], origin=task.origin("acdc"))


def cost(task: PatchingTask[Options]) -> Cost:
    """Both recordings, and one run an edge from its reader's block on: lost bets add to it, dead ends do not run."""
    graph = task.graph
    layers = np.array([reader.layer for reader in graph.readers])
    blocks = float((graph.exists.sum(0) * (graph.n_layers - layers)).sum())
    return Cost(passes=2 + blocks / graph.n_layers, bytes=_Tests.sizes(task)[2], seconds_per_pass=2.5)


@dataclass(kw_only=True, eq=False)
class _Search:
    """What is decided so far."""

    graph: Graph
    threshold: float
    value: np.ndarray
    """The metric of what is left of the model, shape [pair]."""
    left: np.ndarray = field(init=False)
    """Edges that are not taken out, shape [writer, reader]."""
    falls: np.ndarray = field(init=False)
    """Shape [pair, writer, reader]."""
    undecided: list[tuple[int, int]] = field(init=False)
    """Edges still to test, the next one last."""

    def __post_init__(self) -> None:
        self.left = self.graph.exists.copy()
        self.falls = np.zeros((len(self.value), *self.left.shape), dtype=np.float32)
        self.undecided = list(_in_order(self.graph))[::-1]


def _in_order(graph: Graph) -> Iterator[tuple[int, int]]:
    """All edges as (writer, reader), the last reader and its last writer first."""
    for reader in reversed(range(len(graph.readers))):
        for writer in reversed(range(len(graph.writers))):
            if graph.exists[writer, reader]:
                yield writer, reader


def _plan(search: _Search, length: int) -> list[tuple[tuple[int, int], np.ndarray | None]]:
    """The next edges, each with what is left without it and those before; None for an edge that cannot matter."""
    left, plan, rows = search.left.copy(), [], 0
    reader, heard = -1, False
    for edge in reversed(search.undecided):
        if edge[1] != reader:
            # All that lies before a reader is still whole: its edges lie on paths to the logits all or not at all.
            reader = edge[1]
            heard = bool(search.graph.prune(left)[:, reader].any())
        if heard and rows == length:
            break
        left[edge] = False
        plan.append((edge, left.copy() if heard else None))
        rows += heard
    return plan


def _decide(search: _Search, plan: list[tuple[tuple[int, int], np.ndarray | None]], values: np.ndarray) -> int:
    """Take the planned edges out up to the first that has to stay; returns how many rows were of use."""
    rows = iter(values)
    used = 0
    for edge, mask in plan:
        search.undecided.pop()
        if mask is None:
            # Its effect is 0: it goes unless nothing that small may go.
            search.left[edge] = search.threshold <= 0
            continue
        value = next(rows)
        used += 1
        fall = search.value - value
        search.falls[(slice(None), *edge)] = fall
        if fall.mean(dtype=np.float64) >= search.threshold:
            break
        search.left[edge] = False
        search.value = value
    return used


class _Tests:
    """Runs the model without some of its edges, on all pairs."""

    def __init__(self, task: PatchingTask) -> None:
        self.task = task
        pairs, self.most_rows, _ = self.sizes(task)
        self.parts = [slice(start, start + pairs) for start in range(0, len(task.pairs), pairs)]
        # One chunk of pairs is kept unfolded; where there are more, each is unfolded again when its turn comes.
        self.unfolded = lru_cache(maxsize=1)(self._unfold)

    @staticmethod
    def sizes(task: PatchingTask[Options]) -> tuple[int, int, int]:
        """Pairs and rows at once, and the bytes that these need."""
        n_pairs, n_edges = len(task.pairs), task.graph.n_edges
        return batch_sizes(task.model, task.pairs.length, n_pairs=n_pairs, n_circuits=n_edges, budget=task.budget)

    def whole(self) -> np.ndarray:
        """The metric of the clean run, shape [pair]."""
        return self.task.metric(final_logits(self.task.model, self.task.clean)).cpu().numpy()

    def values(self, masks: list[np.ndarray]) -> np.ndarray:
        """The metric with only the edges of each mask, shape [mask, pair]."""
        kept = torch.from_numpy(np.stack(masks))
        return torch.cat([self._values(kept, index) for index in range(len(self.parts))], 1).cpu().numpy()

    def _values(self, kept: Tensor, index: int) -> Tensor:
        return self.task.metric[self.parts[index]](run_circuits(self.unfolded(index), kept))

    def _unfold(self, index: int) -> RecordedRun:
        part = self.parts[index]
        return RecordedRun.between(self.task.model, self.task.clean[part], self.task.corrupt[part])


shelf.add(
    Method(
        name="acdc",
        summary="greedy removal from the logits back: how far the metric falls without an edge in what is left",
        source=Source("Conmy et al.", 2023, "https://arxiv.org/abs/2304.14997"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
