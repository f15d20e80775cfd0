"""The stability of a circuit: how often its interval contains the expected index of two new sets of prompts."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

import interp_emerge as ie
from interp_emerge.circuits.finding import random_connected_circuits, stability
from promises.base import Promise, Rate

GRAPH = ie.Graph(n_layers=3, n_heads=4, n_kv_heads=4, parallel=False)
EDGES, SETS = 20, 60
"""Edges of a circuit, and sets of prompts that the true index is taken from."""


def drawn(mean: np.ndarray, noise: float, n: int, seed: int) -> ie.EdgeScores:
    values = mean + noise * np.random.default_rng(seed).normal(size=(n, len(mean)))
    return ie.EdgeScores.from_pairs(GRAPH, values.astype(np.float32))


def coverage(n: int) -> Iterator[Rate]:
    kept = random_connected_circuits(GRAPH, EDGES, 1, seed=0)[0][GRAPH.exists]
    strong = kept * np.random.default_rng(0).lognormal(0.5, 1.0, GRAPH.n_edges)
    cases = [(f"noise {noise:g}", strong, noise) for noise in (1.0, 3.0, 8.0)]
    for case, mean, noise in (*cases, ("noise alone", 0 * strong, 1.0)):
        for pairs in (24, 64):
            circuits = [drawn(mean, noise, pairs, 10_000 + at).top(EDGES) for at in range(SETS)]
            true = np.nanmean([ie.circuits.overlap(a, b, n_random=1).jaccard for a, b in combinations(circuits, 2)])
            found = [stability(drawn(mean, noise, pairs, at), EDGES, resamples=40).jaccard for at in range(n)]
            held = int(sum(one.low <= true <= one.high for one in found))
            error = np.nanmean([one.value for one in found]) - true
            case_name = f"{case}, {pairs} pairs: index {true:.2f}, mean error {error:+.3f}"
            yield Rate(case=case_name, happened=held, simulations=n, at_least=0.9)


PROMISES = (
    Promise(
        says="The interval of a circuit's stability contains the expected Jaccard index of two new sets of prompts.",
        module="circuits.finding.stability",
        counted="intervals that contain it",
        simulate=coverage,
    ),
)
