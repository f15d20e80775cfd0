"""Circuits of many sets of prompt pairs, from the scores of each pair: of halves of the pairs, and of simulated sets.

The parts of `circuits.finding.stability`, which says what they are for.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import items_that_fit
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.sets import jaccard
from interp_emerge.stats.shrinkage import shrunk

Choose = Callable[[EdgeScores], EdgeMask]
"""Selects the edges of a circuit from the scores of a set of pairs."""
HALVINGS = 2
"""Divisions into halves of each simulated set."""
EDGES_AT_ONCE = 1 << 12
"""Edges in one piece of work, 23 MB for 100 resamples; a multiple of 8, so that pieces start at whole bytes."""


class Sets:
    """Circuits of sets of pairs. Their means are `base` plus `weights`, shape [set, pair], times `values`.

    Weights are one over the size of a set, with a sign, or zero. `packed` holds the kept edges as bits, shape
    [set, byte], `nodes` whether a head or MLP writes a kept edge, shape [set, node].
    """

    def __init__(
        self, graph: Graph, values: np.ndarray, base: np.ndarray | float, weights: np.ndarray, choose: Choose, *,
        errors: bool,
    ) -> None:  # fmt: skip
        self.graph, self.values, self.weights = graph, values, weights
        self.base = np.broadcast_to(base, graph.n_edges)
        self.packed = np.zeros((len(weights), -(-graph.n_edges // 8)), dtype=np.uint8)
        self.nodes = np.zeros((len(weights), len(graph.writers) - 1), dtype=bool)
        scored = tqdm(self._scored(errors=errors), total=len(weights), desc="sets of prompts", delay=2, leave=False)
        for row, scores in enumerate(scored):
            kept = choose(scores)
            self.packed[row], self.nodes[row] = np.packbits(kept[graph.exists]), kept[1:].any(1)

    def _scored(self, *, errors: bool) -> Iterator[EdgeScores]:
        """The scores of each set, computed for some sets at a time."""
        graph = self.graph
        bytes_each = 8 * (2 if errors else 1) * graph.n_edges
        at_once = items_that_fit(bytes_each, len(self.weights), device=torch.device("cpu"), what="one set's scores")
        for start in range(0, len(self.weights), at_once):
            part = self.weights[start : start + at_once]
            below = np.sqrt((part != 0).sum(1, keepdims=True) - 1)
            means, spreads = np.zeros((len(part), graph.n_edges)), np.zeros((len(part), graph.n_edges if errors else 0))
            for edges in _pieces(graph.n_edges):
                moved = part @ self.values[:, edges]
                means[:, edges] = self.base[edges] + moved
                if errors:
                    squares = np.abs(part) @ self.values[:, edges] ** 2 - moved**2
                    spreads[:, edges] = np.sqrt(np.maximum(squares, 0)) / below
            for row, mean in enumerate(means):
                filled, spread = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape)
                filled[graph.exists] = mean
                if errors:
                    spread[graph.exists] = spreads[row]
                yield EdgeScores(graph=graph, scores=filled, standard_errors=spread)

    def jaccards(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Jaccard indices of edges of sets with sets, shape [comparison]; NaN for two empty circuits."""
        return _of_bits(self.packed[first], self.packed[second])

    def node_jaccards(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The same for nodes."""
        packed = np.packbits(self.nodes, axis=1)
        return _of_bits(packed[first], packed[second])

    def weighted_jaccards(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Weighted Jaccard indices; NaN if neither circuit has a score."""
        total, lower = np.zeros(len(self.weights)), np.zeros(len(first))
        for edges in _pieces(self.graph.n_edges):
            n = edges.stop - edges.start
            kept = np.unpackbits(self.packed[:, edges.start // 8 : -(-edges.stop // 8)], axis=1)[:, :n]
            used = edges.start + np.flatnonzero(kept.any(0))
            strength = np.abs(self.base[used] + self.weights @ self.values[:, used]) * kept[:, used - edges.start]
            total += strength.sum(1)
            lower += np.array([np.minimum(strength[a], strength[b]).sum() for a, b in zip(first, second, strict=True)])
        return jaccard(lower, total[first], total[second])


def halves_of(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of the pairs in the two halves of `count` divisions, halves of one division in turn, shape [half, pair].

    Of an odd number of pairs one is left out, so that both halves are of one size.
    """
    half = n // 2
    weights = np.zeros((count, 2, n))
    order = rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
    for side in (0, 1):
        np.put_along_axis(weights[:, side], order[:, side * half : (side + 1) * half], 1 / half, axis=1)
    return weights.reshape(2 * count, n)


def simulated_sets(
    graph: Graph, values: np.ndarray, count: int, choose: Choose, rng: np.random.Generator, *, errors: bool
) -> Sets:
    """Simulated sets of the pairs: `count` whole ones, then two halves of each, `HALVINGS` times."""
    n, mean = len(values), values.mean(0)
    base = shrunk(mean, values.var(0, ddof=1) / n)
    signs = rng.choice([-1.0, 1.0], size=(count, n))
    halves = halves_of(n, HALVINGS * count, rng) * np.repeat(signs, 2 * HALVINGS, axis=0)
    deviations = (values - mean) * np.sqrt(n / (n - 1))
    return Sets(graph, deviations, base, np.concatenate([signs / n, halves]), choose, errors=errors)


def _of_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jaccard indices of sets given as packed bits, shape [comparison]; NaN for two empty sets."""
    return jaccard(*(np.bitwise_count(bits).sum(1, dtype=np.int64) for bits in (a & b, a, b)))


def _pieces(n_edges: int) -> list[slice]:
    return [slice(start, min(start + EDGES_AT_ONCE, n_edges)) for start in range(0, n_edges, EDGES_AT_ONCE)]
