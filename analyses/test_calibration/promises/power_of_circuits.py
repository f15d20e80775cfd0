"""How often tests of circuits see what is there, against the nulls of before and of today.

python analyses/test_calibration/measure.py power_of_circuits    # prints the table of docs/corrections.md, two minutes

Overlap: two circuits of 24 edges are selected from random scores that are correlated over edges. Random sets of as many
edges or nodes were the null before. Sufficiency and partial necessity: circuits of 24 edges are selected by the EAP-IG
scores of a model plus noise, measured in scores of the fifth strongest edge. Random paths alone were the null before.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, TypeVar

import numpy as np
from scipy.stats import hypergeom

import interp_emerge as ie
from interp_emerge.circuits import overlap
from interp_emerge.circuits.finding import NullKind, null_circuits
from interp_emerge.circuits.testing.random_ranks import rank_among
from promises.null_circuits import GRAPHS, N_EDGES, N_RANDOM, values_of_test

N, POOL, LEVEL = 500, 500, 0.05
T = TypeVar("T")
KINDS = (NullKind.STRONGEST, NullKind.PATHS)


def main() -> None:
    print("| test | case | before | now |\n|---|---|---|---|")
    for of in (overlaps, ranks):
        for row in of():
            print("| {} | {} | {:.2f} | {:.2f} |".format(*row), flush=True)


def overlaps() -> Iterator[tuple]:
    name, graph = next(iter(GRAPHS.items()))
    possible = {"edges": graph.n_edges, "nodes": len(graph.nodes(["head", "mlp"]))}
    for correlation in (0.5, 0.8, 0.95):
        rng, seen = np.random.default_rng(0), {level: np.zeros(2) for level in possible}
        for at in range(N):
            a, b = first(two_circuits(graph, correlation, rng) for _ in count())
            # The draws of five seeds are shared between simulations, since drawing takes longest.
            frame = overlap(a, b, n_random=N_RANDOM, seed=at * 5 // N).to_frame().set_index("level")
            for level, row in frame.loc[[*possible]].iterrows():
                before = hypergeom.sf(row["shared"] - 1, possible[str(level)], row["n_a"], row["n_b"])
                seen[str(level)] += np.array([before, row["p_value"]]) <= LEVEL
        for level, counts in seen.items():
            yield f"overlap of {level}", f"scores correlated by {correlation:g}, {name}", *(counts / N)


def two_circuits(graph: ie.Graph, correlation: float, rng: np.random.Generator) -> tuple | None:
    common, *own = rng.standard_normal((3, *graph.exists.shape))
    both = [selected(graph, correlation**0.5 * common + (1 - correlation) ** 0.5 * one) for one in own]
    return None if None in both else tuple(both)


def ranks() -> Iterator[tuple]:
    model = ie.load_family("miniature").load("25k")
    pairs = ie.load_ability("induction").sample(model, 8, 0)
    runs, graph, rng = ie.Runs(model, pairs), model.graph, np.random.default_rng(0)
    scores = ie.score(model, pairs, method="eap_ig", metric="logit_diff").scores
    unit = np.sort(np.abs(scores[graph.exists]))[-5]
    clean = runs.metric_of([graph.exists], 1)[0]
    sized = first(selected(graph, rng.standard_normal(graph.exists.shape)) for _ in count())
    pools = {kind: null_circuits(sized, kind, POOL, seed=1) for kind in KINDS}
    for test, sign in (("sufficiency", -1), ("partial necessity", 1)):
        values_of = values_of_test[test]
        null = {kind: values_of(runs, pool, clean) for kind, pool in pools.items()}
        for noise in (0.1, 0.5, 1, 2):
            noisy = (np.abs(scores) + noise * unit * rng.standard_normal(scores.shape) for _ in count())
            circuits = (selected(graph, one) for one in noisy)
            seen, found = np.zeros(2), values_of(runs, [first(circuits).kept for _ in range(N)], clean)
            for value in found:
                drawn = {kind: rng.choice(null[kind], N_RANDOM, replace=False).tolist() for kind in KINDS}
                for at, kinds in enumerate((KINDS[1:], KINDS)):
                    among = {kind: drawn[kind] for kind in kinds}
                    options: dict[str, Any] = {"sign": sign, "quantile": 0.9, "alpha": LEVEL}
                    seen[at] += rank_among(test, value, among, np.array, **options).p_value <= LEVEL
            yield test, f"scores with noise of {noise:g}, 2 layers of 4 heads", *(seen / N)


def selected(graph: ie.Graph, scores: np.ndarray) -> ie.Circuit | None:
    """The strongest edges by score, pruned, that are 24; None if no number of strongest edges leaves as many."""
    order = np.argsort(np.where(graph.exists, -scores, np.inf), axis=None)
    low, high, kept = N_EDGES, graph.n_edges, graph.exists
    while low <= high and kept.sum() != N_EDGES:
        middle = (low + high) // 2
        kept = np.zeros_like(graph.exists)
        kept.flat[order[:middle]] = True
        kept = graph.prune(kept)
        low, high = (middle + 1, high) if kept.sum() < N_EDGES else (low, middle - 1)
    return ie.Circuit(graph=graph, kept=kept, scores=scores * kept) if kept.sum() == N_EDGES else None


def first(found: Iterator[T | None]) -> T:
    """The first draw that gives a circuit of the size that is wanted."""
    return next(one for one in found if one is not None)
