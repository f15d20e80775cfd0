"""Choose the edges of a circuit: by growth from the logits, or as few as possible that keep an ability.

`grow` adds edges greedily from the logits backward (Hanna et al., 2024, https://arxiv.org/abs/2403.17806). Unlike the
strongest edges of the graph, each edge that it adds leads to the logits.

`smallest_faithful` looks for the smallest circuit whose faithfulness (`circuits.running.faithfulness`) reaches a
target, like the minimal circuits at 80% of Tigges et al. (2024, https://arxiv.org/abs/2407.10827).

1. Edges are put in order, by strength (`EdgeScores.ranked`) or by growth (`circuits.finding.growth`). Size n means the
   first n of them, pruned.
2. `_first_reaching` evaluates 14 sizes on a geometric grid and takes the first that reaches the target. Then it
   evaluates seven sizes between this one and the next smaller, moves to the first that reaches the target, and so on,
   until no size lies between. Faithfulness may fall as edges are added, so a smaller size that was not evaluated may
   reach the target too; `origin` lists the sizes that were evaluated.
3. `_drop_edges` is the local search. It evaluates the circuit without each of its edges, and orders the edges whose
   loss alone keeps the target, the most dispensable first. It drops as many from the front as evaluation shows to keep
   the target. This is repeated until no single edge can be dropped. The result is minimal, but not always the smallest.
   While the circuit has 128 edges or more, blocks of edges of similar strength are dropped in the same way, 64 to 127
   of them, which become smaller with the circuit. Only single edges decide that the result is minimal.

By default the lower end of the 95% interval must reach the target (`sure`). A circuit whose value just reaches it
was chosen to do so on these very pairs, and keeps less on others (measured in docs/calibration.md).

Cost: one circuit run on all pairs for each size, with at most 7 sizes for each factor of 8 between two sizes of the
grid. The local search costs one run for each edge of the circuit in each round, at most 127, and about ten more. These
runs share all that does not lie behind the edge that is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from interp_emerge.circuits.finding.growth import grown_order
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph, without_edges
from interp_emerge.patching.base import EdgeScores
from interp_emerge.patching.scores import By

Select = Literal["top", "grow"] | str
SELECTIONS = ("top", "grow")
GRID_SIZES = 14
"""Sizes on the first grid: neighbouring sizes differ by at most a factor of 3 in a graph of 1.6 million edges."""
SIZES_AT_ONCE = 7
"""Sizes evaluated at once between two others."""
MOST_ROUNDS = 50
"""Largest number of rounds of the local search; the bundled family needs at most two."""
BLOCKS = 64
"""The local search drops single edges of circuits with fewer than twice as many edges; of larger ones, blocks."""


@checked
def grow(scores: EdgeScores, n_edges: int, *, by: By = "magnitude") -> Circuit:
    """The circuit of `n_edges` edges added greedily from the logits, without those on no path from the embedding.

    Each step adds the strongest edge among those whose reader is the logits or belongs to a node that writes an edge
    already added. A key or value that several heads share belongs to each of them.

    Example:
        >>> grown = ie.circuits.finding.grow(scores, 12)  # connected, where scores.top(12) need not be
        >>> grown.pruned() == grown
        True

    Raises:
        InputError: `n_edges` is not between 1 and the number of edges, or positions are resolved.
    """
    graph = scores.graph
    if not 1 <= n_edges <= graph.n_edges:
        raise InputError(f"cannot grow a circuit of n_edges={n_edges}; give 1 to {graph.n_edges}, the graph's number")
    kept = _first_edges(graph, grown_order(graph, scores.ranked(by), n_edges), n_edges)
    return Circuit(graph=graph, kept=kept, scores=scores.scores * kept, origin=scores.origin)


@checked
def smallest_faithful(
    runs: Runs,
    scores: EdgeScores,
    *,
    target: float = 0.8,
    select: Select = "top",
    by: By = "magnitude",
    shares: Sequence[float] | None = None,
    largest: float = 1.0,
    local_search: bool = True,
    max_rounds: int = MOST_ROUNDS,
    sure: bool = True,
) -> Circuit:
    """The smallest circuit found whose faithfulness on these pairs reaches the target.

    If no size on the grid reaches the target, the largest size is returned unchanged. With all edges allowed this
    happens only for targets above 1, since the whole graph has faithfulness 1. If faithfulness is undefined on these
    pairs, the circuit is empty. `origin["selection"]` reports this: `reached`; the `faithfulness` on these pairs, or
    None with the reason in `undefined`; `minimal` (no single edge can be dropped); and every size `tried` with the
    value that was compared with the target.

    Example:
        >>> ie.circuits.finding.smallest_faithful(runs, scores, target=0.5, shares=(0.1, 0.3, 1.0))

    Args:
        runs: the model that the scores were taken on, and the pairs to find the circuit on; test it on others.
        scores: strength of every edge, without positions.
        target: fraction of the clean-corrupt gap to keep, above 0; a circuit may keep more than 1.
        select: order of the edges: by strength (`top`), or as `grow` adds them.
        by: strength of an edge: its `magnitude`, or its `score`.
        shares: fractions of the graph's edges to choose from, instead of all sizes.
        largest: largest fraction of the graph's edges to try if `shares` is left out.
        local_search: whether to drop single edges at the end.
        max_rounds: largest number of rounds of the local search; 0 for none.
        sure: whether the lower end of the 95% interval must reach the target, instead of the value.

    Raises:
        InputError: the scores are by position or of another graph, the target is not a finite number above 0, a share
            is not above 0 and at most 1, or the number of rounds is negative.
        UnknownNameError: `select` is unknown.
    """
    graph = scores.graph
    runs.model.require_graph(graph, "the scores were taken")
    if select not in SELECTIONS:
        raise UnknownNameError("selection", select, SELECTIONS)
    if not 0 < target < np.inf:
        raise InputError(f"target={target:g} is not a fraction of the gap; give a finite number above 0, such as 0.8")
    if max_rounds < 0:
        raise InputError(f"max_rounds={max_rounds} is not a number of rounds; give at least 0")
    sizes = _grid(graph, largest) if shares is None else _sizes(graph, shares)
    trial = _Trial(runs, target, sure)
    if runs.whole.defined:
        order = scores.ranked(by) if select == "top" else grown_order(graph, scores.ranked(by), sizes[-1])
        with runs.held():
            found = _first_reaching(trial, order, sizes, refine=shares is None)
            if local_search and trial.reaches(found.metric):
                found = _drop_edges(trial, found, max_rounds, np.abs(scores.scores))
    else:
        found = _Candidate(np.zeros_like(graph.exists), runs.whole.corrupt)
    selection: dict[str, Any] = {
        "target": target,
        "sure": sure,
        "select": select,
        "by": by,
        "local_search": local_search,
        "reached": trial.reaches(found.metric),
        "minimal": found.minimal,
        "faithfulness": _rounded(trial.faithfulness(found.metric)),
        "metric": runs.metric if isinstance(runs.metric, str) else getattr(runs.metric, "__name__", "a callable"),
        "prompts": runs.pairs.fingerprint,
        "tried": [[size, _rounded(value)] for size, value in sorted(found.tried.items())],
    }
    if why := runs.whole.why_undefined:
        selection["undefined"] = why
    origin: dict[str, Any] = {**scores.origin, "ablation": runs.ablation, "selection": selection}
    return Circuit(graph=graph, kept=found.kept, scores=scores.scores * found.kept, origin=origin)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A circuit of the search."""

    kept: EdgeMask
    metric: np.ndarray
    """Its metric, shape [pair]."""
    tried: dict[int, float] = field(default_factory=dict)
    """What was compared with the target at each size."""
    minimal: bool = False
    """Whether it is known that no single edge can be dropped."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """Runs circuits and compares them with the target."""

    runs: Runs
    target: float
    sure: bool

    def metrics(self, circuits: Iterable[EdgeMask], n: int, what: str) -> np.ndarray:
        """The metric of `n` circuits, shape [circuit, pair]."""
        return self.runs.metric_of(circuits, n, what=what)

    def faithfulness(self, metric: np.ndarray) -> float:
        """Faithfulness without its interval, which would cost as much as a small model's run; NaN if undefined."""
        whole = self.runs.whole
        return float((metric - whole.corrupt).mean() / self.runs.gap.mean()) if whole.defined else np.nan

    def strength(self, metric: np.ndarray) -> float:
        """The value compared with the target: faithfulness, or the lower end of its interval."""
        if self.sure:
            return self.runs.share_interval(metric - self.runs.whole.corrupt).low
        return self.faithfulness(metric)

    def reaches(self, metric: np.ndarray) -> bool:
        return bool(self.strength(metric) >= self.target)


def _first_reaching(trial: _Trial, order: np.ndarray, sizes: list[int], *, refine: bool) -> _Candidate:
    """The circuit of the first size found that reaches the target, or of the last size if none does."""
    graph, best, below = trial.runs.model.graph, sizes[-1], 0
    metrics: dict[int, np.ndarray] = {}
    while sizes:
        circuits = (_first_edges(graph, order, size) for size in sizes)
        what = f"search of a size, {sizes[0]} to {sizes[-1]} edges"
        metrics |= dict(zip(sizes, trial.metrics(circuits, len(sizes), what), strict=True))
        best = next((size for size in sizes if trial.reaches(metrics[size])), best)
        below = max((size for size in metrics if size < best), default=0)
        sizes = _between(below, best) if refine and trial.reaches(metrics[best]) else []
    tried = {size: trial.strength(metric) for size, metric in metrics.items()}
    return _Candidate(_first_edges(graph, order, best), metrics[best], tried)


def _drop_edges(trial: _Trial, found: _Candidate, max_rounds: int, strength: np.ndarray) -> _Candidate:
    """The circuit without the edges that it does not need: minimal, unless the rounds ran out before.

    Args:
        trial: runs circuits.
        found: the circuit to begin with.
        max_rounds: how often to go through all edges.
        strength: of every edge, shape [writer, reader]; edges of similar strength are dropped together.
    """
    graph, kept, metric = trial.runs.model.graph, found.kept, found.metric
    size: int | None = None
    for number in range(max_rounds):
        edges = np.argwhere(kept)
        largest = max(1, len(edges) // BLOCKS)
        size = largest if size is None else min(size, largest)
        edges = edges[np.argsort(strength[tuple(edges.T)], kind="stable")] if size > 1 else edges
        blocks = [edges[start : start + size] for start in range(0, len(edges), size)]
        what = f"local search, round {number + 1}, {len(edges)} edges, {trial.strength(metric):.2f} kept"
        alone = trial.metrics((graph.prune(without_edges(kept, block)) for block in blocks), len(blocks), what)
        left = np.array([trial.strength(one) for one in alone])
        order = np.argsort(-left, kind="stable")
        spare = [blocks[at] for at in order[left[order] >= trial.target]]
        if not spare:
            if size == 1:
                return _Candidate(kept, metric, found.tried, minimal=True)
            size = max(1, size // 4)
            continue

        def without(count: int, kept: EdgeMask = kept, spare: list[np.ndarray] = spare) -> EdgeMask:
            return graph.prune(without_edges(kept, np.concatenate(spare[:count])))

        n_dropped, too_many, metric = 1, len(spare) + 1, alone[order[0]]
        while counts := _between(n_dropped, too_many):
            fewer = trial.metrics(map(without, counts), len(counts), what)
            for count, one in zip(counts, fewer, strict=True):
                if trial.reaches(one):
                    n_dropped, metric = count, one
            too_many = min(count for count in (*counts, too_many) if count > n_dropped)
        kept = without(n_dropped)
    return _Candidate(kept, metric, found.tried)


def _first_edges(graph: Graph, order: np.ndarray, n: int) -> np.ndarray:
    """The first `n` edges of an order, without those on no path from the embedding to the logits."""
    kept = np.zeros_like(graph.exists)
    kept[tuple(order[:n].T)] = True
    return graph.prune(kept)


def _sizes(graph: Graph, shares: Sequence[float]) -> list[int]:
    """The different numbers of edges, ascending, in these shares of the graph.

    Raises:
        InputError: there are no shares, or one is not above 0 and at most 1.
    """
    if not len(shares):
        raise InputError("shares is empty; give some shares of the graph's edges, above 0 and at most 1")
    for share in shares:
        if not 0 < share <= 1:
            raise InputError(f"{share:g} is not a share of the graph's edges; give a number above 0 and at most 1")
    return sorted({max(1, round(share * graph.n_edges)) for share in shares})


def _grid(graph: Graph, largest: float) -> list[int]:
    """Sizes from one edge to a share of the graph, on a geometric grid."""
    (last,) = _sizes(graph, [largest])
    return sorted({round(size) for size in np.geomspace(1, last, GRID_SIZES)})


def _between(low: int, high: int) -> list[int]:
    """Up to seven whole numbers that divide the interval between two others evenly."""
    return sorted({round(part) for part in np.linspace(low, high, SIZES_AT_ONCE + 2)} - {low, high})


def _rounded(value: float) -> float | None:
    """A value for a file: six decimals, which do not depend on the machine, or None if it is undefined."""
    return None if np.isnan(value) else round(value, 6)
