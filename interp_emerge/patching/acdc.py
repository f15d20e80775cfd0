"""ACDC: remove the edges one after the other, each for good if the metric hardly falls without it (Conmy et al., 2023).

A removed edge carries its corrupted value; all other edges carry those of the run that starts from the clean prompt.

1. `_from_logits_back` lists the edges by reader, from the logits back to the first layer, and the edges of a reader by
   writer, from the latest to the embedding. So everything behind an edge is decided before the edge.
2. Each edge is tested in what is left of the model, with all edges removed so far still removed. If the metric falls
   by less than `threshold` (0.01 by default, in the metric's unit), the edge is removed too.
3. Several edges are tested in one batch, on the assumption that all of them will be removed: row i of the batch lacks
   the first i of them (`_plan`). `_decide` goes through the rows up to the first edge that has to stay, and discards
   the rows after it, whose assumption was wrong. The result is that of one test at a time. The batch doubles after each
   batch without a discarded row, and otherwise shrinks to the number of rows that were used.
4. An edge into a reader from which no path leads to the logits any more has effect 0, without a run.

Sign: the score of an edge is the metric's fall when it was tested, mean over pairs. Positive means that the clean value
of the edge helps in what was left of the model. `scores.above(threshold)` is the circuit that ACDC finds. The scores do
not rank the edges, since each was tested in another model; another threshold gives other scores. With `metric="kl"`
(minus the divergence from the clean run) this is the published method, which tests the rise of the divergence.

Cost: for each edge one run from its reader's block on, and the discarded rows: 24,400 forward passes at 135 million
parameters, or 17 hours of one processor for 16 short prompts. The result depends on the order of the heads within a
layer.
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
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask, require_finite
from interp_emerge.patching.engines.circuit_run import RecordedRun, batch_sizes, run_circuits
from interp_emerge.patching.engines.options import NoOptions


@dataclass(frozen=True, kw_only=True)
class Options(NoOptions):
    """Options of `acdc`."""

    threshold: Annotated[float, "an edge is kept if the metric falls by at least this without it, metric's unit"] = 0.01

    @property
    def mixes_pairs(self) -> bool:
        return True


@torch.no_grad()
def run(task: PatchingTask[Options]) -> EdgeScores:
    graph, threshold = task.graph, task.options.threshold
    tests = _Tests(task)
    search = _Search(graph=graph, threshold=threshold, value=tests.clean_values())
    progress = iter(task.bar(range(graph.n_edges), "acdc"))
    n_rows = tests.most_rows
    while search.undecided:
        before = len(search.undecided)
        plan = _plan(search, n_rows)
        masks = [mask for _, mask in plan if mask is not None]
        used = _decide(search, plan, tests.values(masks) if masks else np.empty((0, len(task.pairs))))
        n_rows = min(tests.most_rows, 2 * n_rows) if used == len(masks) else max(1, used)
        for _ in range(before - len(search.undecided)):
            next(progress)
    next(progress, None)
    require_finite(torch.from_numpy(search.falls), "acdc scores")
    return EdgeScores.from_pairs(graph, search.falls[:, *np.nonzero(graph.exists)], origin=task.origin("acdc"))


def cost(task: PatchingTask[Options]) -> Cost:
    """Both recordings, and one run for each edge from its reader's block on; discarded rows are not counted."""
    graph = task.graph
    layers = np.array([reader.layer for reader in graph.readers])
    blocks = float((graph.exists.sum(0) * (graph.n_layers - layers)).sum())
    return Cost(passes=2 + blocks / graph.n_layers, bytes=_Tests.sizes(task)[2], seconds_per_pass=2.5)


@dataclass(kw_only=True, eq=False)
class _Search:
    """What has been decided so far."""

    graph: Graph
    threshold: float
    value: np.ndarray
    """The metric of what is left of the model, shape [pair]."""
    left: np.ndarray = field(init=False)
    """Edges that have not been removed, shape [writer, reader]."""
    falls: np.ndarray = field(init=False)
    """The metric's fall at the test of each edge, shape [pair, writer, reader]."""
    undecided: list[tuple[int, int]] = field(init=False)
    """Edges still to test, the next one last."""

    def __post_init__(self) -> None:
        self.left = self.graph.exists.copy()
        self.falls = np.zeros((len(self.value), *self.left.shape), dtype=np.float32)
        self.undecided = list(_from_logits_back(self.graph))[::-1]


def _from_logits_back(graph: Graph) -> Iterator[tuple[int, int]]:
    """All edges as (writer, reader), the last reader and its last writer first."""
    for reader in reversed(range(len(graph.readers))):
        for writer in reversed(range(len(graph.writers))):
            if graph.exists[writer, reader]:
                yield writer, reader


def _plan(search: _Search, n_rows: int) -> list[tuple[tuple[int, int], np.ndarray | None]]:
    """The next edges, each with what is left without it and those before it; None for an edge that has no effect."""
    left, plan, rows = search.left.copy(), [], 0
    reader, reaches_logits = -1, False
    for edge in reversed(search.undecided):
        if edge[1] != reader:
            # Every edge before this reader is still there, so all of its edges reach the logits or none does.
            reader = edge[1]
            reaches_logits = bool(search.graph.prune(left)[:, reader].any())
        if reaches_logits and rows == n_rows:
            break
        left[edge] = False
        plan.append((edge, left.copy() if reaches_logits else None))
        rows += reaches_logits
    return plan


def _decide(search: _Search, plan: list[tuple[tuple[int, int], np.ndarray | None]], values: np.ndarray) -> int:
    """Remove the planned edges up to the first that has to stay; returns how many rows were used."""
    rows = iter(values)
    used = 0
    for edge, mask in plan:
        search.undecided.pop()
        if mask is None:
            # Its effect is 0, so it is removed unless the threshold keeps even such edges.
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
        # The recorded run of one chunk of pairs is kept. Of several chunks, each is made again when it is needed.
        self.recorded_run = lru_cache(maxsize=1)(self._recorded_run)

    @staticmethod
    def sizes(task: PatchingTask[Options]) -> tuple[int, int, int]:
        """Numbers of pairs and of rows to run together, and the bytes that these need."""
        n_pairs, n_edges = len(task.pairs), task.graph.n_edges
        return batch_sizes(task.model, task.pairs.length, n_pairs=n_pairs, n_circuits=n_edges, budget=task.budget)

    def clean_values(self) -> np.ndarray:
        """The metric of the clean run, shape [pair]."""
        return self.task.metric(final_logits(self.task.model, self.task.clean)).cpu().numpy()

    def values(self, masks: list[np.ndarray]) -> np.ndarray:
        """The metric with only the edges of each mask, shape [mask, pair]."""
        kept = torch.from_numpy(np.stack(masks))
        return torch.cat([self._values(kept, index) for index in range(len(self.parts))], 1).cpu().numpy()

    def _values(self, kept: Tensor, index: int) -> Tensor:
        return self.task.metric[self.parts[index]](run_circuits(self.recorded_run(index), kept))

    def _recorded_run(self, index: int) -> RecordedRun:
        part = self.parts[index]
        return RecordedRun.between(self.task.model, self.task.clean[part], self.task.corrupt[part])


shelf.add(
    Method(
        name="acdc",
        summary="greedy removal from the logits back: fall of the metric without an edge in what is left of the model",
        source=Source("Conmy et al.", 2023, "https://arxiv.org/abs/2304.14997"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
