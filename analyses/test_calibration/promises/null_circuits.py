"""Circuits of pure noise: how often tests against random circuits call them more than chance."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

import interp_emerge as ie
from interp_emerge.circuits.finding.growth import grown_order
from interp_emerge.circuits.finding.null_circuits import ALWAYS, NullKind, null_circuits
from interp_emerge.circuits.finding.random_paths import connected_circuit
from interp_emerge.circuits.overlap import overlap
from interp_emerge.circuits.testing.random_ranks import rank_among
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.graph import Graph
from promises.base import Promise, Rate

Draw = Callable[[Graph, int, np.random.Generator], EdgeMask]
GRAPHS = {
    "2 layers of 4 heads": Graph(n_layers=2, n_heads=4, n_kv_heads=4, parallel=False),
    "4 parallel layers of 4 heads": Graph(n_layers=4, n_heads=4, n_kv_heads=4, parallel=True),
    "4 layers of 4 heads, 2 key-value heads": Graph(n_layers=4, n_heads=4, n_kv_heads=2, parallel=False),
}
N_EDGES, N_RANDOM, SEEDS, POOL = 24, 99, 5, 500


def edges(graph: Graph, n_edges: int, rng: np.random.Generator) -> EdgeMask:
    """Single random edges."""
    kept = np.zeros_like(graph.exists)
    kept.flat[rng.choice(np.flatnonzero(graph.exists), n_edges, replace=False)] = True
    return kept


def strongest(graph: Graph, n_edges: int, rng: np.random.Generator) -> EdgeMask:
    """The strongest edges of random scores, pruned; scores and sizes are drawn until the circuit has its size."""
    while True:
        scores = rng.random(graph.exists.shape)
        low, high = 1, graph.n_edges
        while low < high:  # the smallest number of strongest edges that leaves enough
            middle = (low + high) // 2
            low, high = (low, middle) if _top(graph, scores, middle).sum() >= n_edges else (middle + 1, high)
        if (kept := _top(graph, scores, low)).sum() == n_edges:
            return kept


def grown(graph: Graph, n_edges: int, rng: np.random.Generator) -> EdgeMask:
    """Edges grown on random scores, pruned; drawn until the circuit has its size."""
    while True:
        order = grown_order(graph, rng.permutation(np.argwhere(graph.exists)), graph.n_edges)
        for n in range(n_edges, 3 * n_edges):
            kept = np.zeros_like(graph.exists)
            kept[tuple(order[:n].T)] = True
            if (kept := graph.prune(kept)).sum() == n_edges:
                return kept


def _top(graph: Graph, scores: np.ndarray, n: int) -> EdgeMask:
    kept = np.zeros_like(graph.exists)
    kept.flat[np.flatnonzero(graph.exists)[np.argsort(-scores[graph.exists])[:n]]] = True
    return graph.prune(kept)


NOISE: dict[str, Draw] = {
    "random edges": edges,
    "random paths": connected_circuit,
    "strongest edges of noise": strongest,
    "grown on noise": grown,
}


def overlaps(n: int) -> Iterator[Rate]:
    for graph_name, graph in GRAPHS.items():
        for noise, draw in NOISE.items():
            rng, levels, names = np.random.default_rng(0), [], []
            for at in range(n):
                a, b = (_circuit(graph, draw(graph, N_EDGES, rng), rng, noise) for _ in range(2))
                # The draws of few seeds are shared between simulations, since drawing takes longest.
                frame = overlap(a, b, n_random=N_RANDOM, seed=at * SEEDS // n).to_frame()
                names = frame["level"].tolist()
                levels.append(frame["p_value"].to_numpy() <= 0.05)
            for level, happened in zip(names, np.sum(levels, 0), strict=True):
                case = f"{level}, {noise}, {graph_name}"
                yield Rate(case=case, happened=int(happened), simulations=n, at_most=0.05)


def ranks(n: int) -> Iterator[Rate]:
    for name, (model, pairs) in models().items():
        graph, runs, rng = model.graph, ie.Runs(model, pairs), np.random.default_rng(0)
        sized = sized_circuit(graph, rng)
        pools = {kind: null_circuits(sized, kind, POOL, seed=1) for kind in (*ALWAYS, NullKind.GROWN)}
        clean = runs.evaluations([graph.exists])[0].clean
        for test, sign in (("sufficiency", -1), ("partial necessity", 1)):
            values_of = values_of_test[test]
            null = {kind: values_of(runs, pool, clean) for kind, pool in pools.items()}
            for noise, draw in cases_of_noise(graph).items():
                rng = np.random.default_rng(2)
                kinds = (*ALWAYS, NullKind.GROWN) if noise == "grown on noise" else ALWAYS
                p_values = [
                    rank_among(
                        test,
                        found,
                        {kind: rng.choice(null[kind], N_RANDOM, replace=False).tolist() for kind in kinds},
                        np.array,
                        sign=sign,
                        quantile=0.9,
                        alpha=0.05,
                    ).p_value
                    for found in values_of(runs, [draw(graph, N_EDGES, rng) for _ in range(n)], clean)
                ]
                happened = int((np.array(p_values) <= 0.05).sum())
                yield Rate(case=f"{test}, {noise}, {name}", happened=happened, simulations=n, at_most=0.05)


def sized_circuit(graph: Graph, rng: np.random.Generator) -> Circuit:
    """A circuit of `N_EDGES` edges, for the size of random ones."""
    return _circuit(graph, connected_circuit(graph, N_EDGES, rng), rng, "random paths")


def cases_of_noise(graph: Graph) -> dict[str, Draw]:
    """How circuits of noise are drawn; single random edges are pruned, since only paths can do anything."""
    return NOISE | {"random edges": _pruned_edges(graph)}


def models() -> dict[str, tuple[Any, Any]]:
    """Two trained models, and one of random weights with key-value heads that queries share, with their pairs."""
    from transformers import LlamaConfig, LlamaForCausalLM

    family, induction = ie.load_family("miniature"), ie.load_ability("induction")
    models = {}
    for size, name in (("25k", "2 layers of 4 heads"), ("200k", "4 layers of 8 heads")):
        model = family.load(size)
        models[name] = (model, induction.sample(model, 8, 0))
    torch.manual_seed(0)
    shape: dict[str, Any] = {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64}
    llama = ie.hook(LlamaForCausalLM(LlamaConfig(**shape, **sizes, initializer_range=0.25)).eval())
    clean = torch.randint(1, 50, (8, 9))
    corrupt, answer = torch.where(torch.rand(clean.shape) < 0.4, torch.randint(1, 50, clean.shape), clean), clean[:, 0]
    pairs = ie.PromptPairs(clean=clean, corrupt=corrupt, answer=answer, foil=(answer + 1) % 50)
    return models | {"4 layers of 4 heads, 2 key-value heads": (llama, pairs)}


def _pruned_edges(graph: Graph) -> Draw:
    """As many random edges as leave about `N_EDGES` once pruned; drawn until they leave exactly as many."""
    rng, sizes = np.random.default_rng(3), range(N_EDGES, graph.n_edges, 4)
    left = [np.mean([graph.prune(edges(graph, n, rng)).sum() for _ in range(50)]) for n in sizes]
    n = sizes[int(np.abs(np.array(left) - N_EDGES).argmin())]

    def draw(graph: Graph, n_edges: int, rng: np.random.Generator) -> EdgeMask:
        while (kept := graph.prune(edges(graph, n, rng))).sum() != n_edges:
            pass
        return kept

    return draw


def _distances(runs: ie.Runs, circuits: Sequence[EdgeMask], clean: np.ndarray) -> np.ndarray:
    """Root mean squared differences from the whole model, shape [circuit]."""
    return np.sqrt(((runs.metric_of(circuits, len(circuits)) - clean) ** 2).mean(1))


def _losses(runs: ie.Runs, circuits: Sequence[EdgeMask], clean: np.ndarray) -> np.ndarray:
    """Mean losses without the edges of circuits, shape [circuit]."""
    exists = runs.model.graph.exists
    return (clean - runs.metric_of((exists & ~kept for kept in circuits), len(circuits))).mean(1)


values_of_test = {"sufficiency": _distances, "partial necessity": _losses}


def _circuit(graph: Graph, kept: EdgeMask, rng: np.random.Generator, noise: str) -> Circuit:
    origin = {"selection": {"select": "grow"}} if noise == "grown on noise" else {}
    return Circuit(graph=graph, kept=kept, scores=rng.standard_normal(kept.shape) * kept, origin=origin)


PROMISES = (
    Promise(
        says="Two circuits of noise overlap no more than by chance.",
        module="circuits.overlap",
        counted="p-values of at most 0.05 for two independent circuits of 24 edges",
        simulate=overlaps,
    ),
    Promise(
        says="A circuit of noise is called sufficient or necessary no more often than by chance.",
        module="circuits.testing.hypotheses",
        counted="p-values of at most 0.05 for circuits of 24 edges",
        simulate=ranks,
    ),
)
