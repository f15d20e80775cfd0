"""Random circuits drawn as circuits are: the null for claims about a circuit and about what two circuits share.

A set of random edges is no fair comparison, since few of its edges lie on a path from the embedding to the logits.
Circuits are connected, and edges of some places are in most circuits: two independent connected circuits share more
than two random sets of edges. How a circuit was chosen is not always known, and the kinds below share and do different
amounts. So a test takes the largest p-value over kinds (`kinds_of`): it keeps its level if the circuit is a draw of any
one of them (an intersection-union test; Berger, 1982, https://doi.org/10.1080/00401706.1982.10487790).

1. `NullKind.STRONGEST`: the strongest edges of random scores, without those on no path from the embedding to the
   logits, as `EdgeScores.top` selects them. `live_from` computes, for each edge and a random order of all edges, how
   many edges of that order are needed until the edge lies on a path among them. This takes one pass over the graph, as
   for a widest path. So the sizes of all selections from one order are known at once, and an order is drawn again until
   it gives the size that is wanted. If 40 orders fail, a smaller selection is completed by the strongest edges between
   its nodes.
2. `NullKind.PATHS`: random walks from the embedding to the logits (`circuits.finding.random_paths`).
3. `NullKind.GROWN`: edges grown from the logits on random scores, for circuits whose origin says that they were grown.
4. `NullKind.NODES`: all edges between random nodes, as many heads and MLPs as the circuit has, for circuits that
   consist of all edges between their nodes. The number of edges varies.

5. `NullKind.EDGES`: single random edges, for circuits with dead ends, which pruning would drop.

Cost: 2 to 15 ms for a circuit in a graph of 32,000 edges. No model is run.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import islice

import numpy as np

from interp_emerge.circuits.finding.growth import grown_order
from interp_emerge.circuits.finding.random_paths import between_live_nodes, connected_circuit
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph

MOST_ORDERS = 40
"""How many random orders are tried for a circuit of the exact size before a smaller one is completed."""
ORDERS_AT_ONCE, BYTES_AT_ONCE = 32, 1 << 22
"""Largest number of random orders that are drawn together, and of their bytes."""
Size = int | tuple[int, int]


class NullKind(StrEnum):
    """How random circuits are drawn."""

    STRONGEST = "strongest edges of random scores"
    PATHS = "random paths"
    GROWN = "grown on random scores"
    NODES = "random nodes"
    EDGES = "random edges"


ALWAYS = (NullKind.STRONGEST, NullKind.PATHS)
"""The kinds that every circuit is compared with."""


@checked
def kinds_of(*circuits: Circuit) -> tuple[NullKind, ...]:
    """The kinds of random circuits that these circuits are compared with.

    Always the strongest edges of random scores and random paths; grown ones if the origin of a circuit says that it was
    grown; random nodes if a circuit consists of all edges between its nodes; random edges if a circuit has dead ends.

    Example:
        >>> [kind.value for kind in ie.circuits.finding.kinds_of(circuit)]
    """
    kinds = [*ALWAYS]
    if any((circuit.origin.get("selection") or {}).get("select") == "grow" for circuit in circuits):
        kinds.append(NullKind.GROWN)
    if any(_is_all_between_its_nodes(circuit) for circuit in circuits):
        kinds.append(NullKind.NODES)
    if any((circuit.graph.prune(circuit.kept) != circuit.kept).any() for circuit in circuits):
        kinds.append(NullKind.EDGES)
    return tuple(kinds)


@checked
def null_circuits(circuit: Circuit, kind: NullKind, count: int, *, seed: int | tuple[int, ...] = 0) -> list[EdgeMask]:
    """`count` random circuits of the size of a circuit, each of shape [writer, reader].

    They have as many edges as the circuit, or, for random nodes, as many heads and MLPs.

    Example:
        >>> kind = ie.circuits.finding.kinds_of(circuit)[0]
        >>> len(ie.circuits.finding.null_circuits(circuit, kind, 5))
        5

    Raises:
        InputError: the count is negative.
    """
    circuits = []
    for edges in null_edges(circuit, kind, count, seed=seed):
        kept = np.zeros_like(circuit.graph.exists)
        kept.flat[edges] = True
        circuits.append(kept)
    return circuits


def null_edges(
    circuit: Circuit, kind: NullKind, count: int, *, seed: int | tuple[int, ...] = 0
) -> tuple[np.ndarray, ...]:
    """The circuits of `null_circuits`, each as sorted indices into the flat array of edges, shape [edge].

    Raises:
        InputError: the count is negative.
    """
    size = _nodes_of(circuit) if kind == NullKind.NODES else int((circuit.kept & circuit.graph.exists).sum())
    return random_edges(circuit.graph, kind, size, count, seed=seed)


def random_edges(
    graph: Graph, kind: NullKind, size: Size, count: int, *, seed: int | tuple[int, ...] = 0
) -> tuple[np.ndarray, ...]:
    """The circuits of `null_edges` for a number of edges, or for numbers of heads and of MLPs for random nodes.

    Raises:
        InputError: the count is negative.
    """
    if count < 0:
        raise InputError(f"count={count} is not a number of random circuits; give at least 0")
    return _drawn(graph, kind, size, count, seed)


@lru_cache(maxsize=8)
def _drawn(graph: Graph, kind: NullKind, size: Size, count: int, seed: int | tuple[int, ...]) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(np.flatnonzero(kept) for kept in islice(DRAWS[kind](graph, size, rng), count))


def _strongest(graph: Graph, n_edges: int, rng: np.random.Generator) -> Iterator[EdgeMask]:
    """Endless random circuits of exactly `n_edges` edges, each selected from a random order of all edges."""
    at_once = max(1, min(ORDERS_AT_ONCE, BYTES_AT_ONCE // (8 * graph.exists.size)))

    def orders() -> Iterator[np.ndarray]:
        while True:
            yield np.where(graph.exists, rng.random((at_once, *graph.exists.shape)), np.inf)

    return _of_exact_size(graph, n_edges, orders(), rng)


def _grown(graph: Graph, n_edges: int, rng: np.random.Generator) -> Iterator[EdgeMask]:
    """Endless random circuits of exactly `n_edges` edges, each grown from the logits on random scores."""
    edges = np.argwhere(graph.exists)

    def orders() -> Iterator[np.ndarray]:
        while True:
            ranked, n, n_live = rng.permutation(edges), max(64, 4 * n_edges), -1
            order = np.full((1, *graph.exists.shape), np.inf)
            while n_live < n_edges:
                taken = grown_order(graph, ranked, n)
                order[(0, *taken.T)] = np.arange(len(taken))
                n_live = int(graph.prune(order[0] < np.inf).sum())
                n *= 2
            yield order

    return _of_exact_size(graph, n_edges, orders(), rng)


def _of_exact_size(
    graph: Graph, n_edges: int, orders: Iterator[np.ndarray], rng: np.random.Generator
) -> Iterator[EdgeMask]:
    """Selections of exactly `n_edges` edges from random orders.

    An order gives each edge a number, or infinity. `orders` gives them in blocks of shape [order, writer, reader].
    """
    selections = (both for block in orders for both in zip(block, live_from(graph, block), strict=True))
    while True:
        best, most = None, -1
        for order, live in islice(selections, MOST_ORDERS):
            kept = _first_live(graph, live, n_edges)
            n = int(kept.sum())
            if n > most and (completed := _completed(graph, kept, order, n_edges)) is not None:
                best, most = completed, n
            if n == n_edges:
                break
        yield connected_circuit(graph, n_edges, rng) if best is None else best


def live_from(graph: Graph, orders: np.ndarray) -> np.ndarray:
    """From which number of an order on each edge lies on a path from the embedding to the logits.

    An edge is live among the edges up to number t if a path from the embedding leads over it to the logits, and all
    numbers on this path are at most t.

    Args:
        graph: of the edges.
        orders: the number of each edge in some orders, infinite where there is no edge, shape [order, writer, reader].

    Returns:
        The smallest such t for each edge, shape [order, writer, reader].
    """
    n, n_writers, n_readers = orders.shape
    fed_by = [np.flatnonzero(column) for column in graph.reaches.T]
    reached, to_reader = np.zeros((n, n_writers)), np.full((n, n_readers), np.inf)
    for writer in range(n_writers):
        if writer:
            reached[:, writer] = to_reader[:, fed_by[writer]].min(1)
        np.minimum(to_reader, np.maximum(orders[:, writer], reached[:, writer, None]), out=to_reader)
    used, from_reader = np.zeros((n, n_writers)), np.full((n, n_readers), np.inf)
    from_reader[:, -1] = 0
    for writer in reversed(range(n_writers)):
        used[:, writer] = np.maximum(orders[:, writer], from_reader).min(1)
        fed = fed_by[writer]
        from_reader[:, fed] = np.minimum(from_reader[:, fed], used[:, writer, None])
    return np.maximum(np.maximum(orders, reached[:, :, None]), from_reader[:, None, :])


def _first_live(graph: Graph, live: np.ndarray, n_edges: int) -> EdgeMask:
    """The largest selection of at most `n_edges` edges."""
    if not n_edges:
        return np.zeros_like(graph.exists)
    last = np.partition(live[graph.exists], n_edges - 1)[n_edges - 1]
    kept = graph.exists & (live <= last)
    return kept if kept.sum() == n_edges else graph.exists & (live < last)


def _completed(graph: Graph, kept: EdgeMask, order: np.ndarray, n_edges: int) -> EdgeMask | None:
    """The selection with the first edges of the order between its nodes, up to `n_edges`; None if there are too few."""
    missing = n_edges - int(kept.sum())
    if not missing:
        return kept
    at = np.argwhere(between_live_nodes(graph, kept) & ~kept & (order < np.inf))
    if len(at) < missing:
        return None
    completed = kept.copy()
    completed[tuple(at[np.argsort(order[tuple(at.T)])[:missing]].T)] = True
    return completed


def _paths(graph: Graph, n_edges: int, rng: np.random.Generator) -> Iterator[EdgeMask]:
    """Endless random circuits of exactly `n_edges` edges, each made of random walks."""
    while True:
        yield connected_circuit(graph, n_edges, rng)


def _between_nodes(graph: Graph, n_nodes: tuple[int, int], rng: np.random.Generator) -> Iterator[EdgeMask]:
    """Endless random circuits of all edges between so many random heads and MLPs."""
    names = [[node.name for node in graph.writers if node.kind == kind] for kind in ("head", "mlp")]
    while True:
        chosen = (rng.choice(of, n, replace=False) for of, n in zip(names, n_nodes, strict=True))
        yield graph.between(np.concatenate([*chosen]))


def _edges(graph: Graph, n_edges: int, rng: np.random.Generator) -> Iterator[EdgeMask]:
    """Endless random sets of exactly `n_edges` edges."""
    at = np.flatnonzero(graph.exists)
    while True:
        kept = np.zeros_like(graph.exists)
        kept.flat[rng.choice(at, n_edges, replace=False)] = True
        yield kept


def _nodes_of(circuit: Circuit) -> tuple[int, int]:
    """The numbers of heads and of MLPs that write an edge of the circuit."""
    kinds = [circuit.graph.writers[writer].kind for writer in np.flatnonzero(circuit.kept.any(1))]
    return kinds.count("head"), kinds.count("mlp")


def _is_all_between_its_nodes(circuit: Circuit) -> bool:
    graph = circuit.graph
    between = graph.between(graph.writers[writer].name for writer in np.flatnonzero(circuit.kept.any(1)))
    return bool((between == circuit.kept).all())


DRAWS: dict[NullKind, Callable[..., Iterator[EdgeMask]]] = {
    NullKind.STRONGEST: _strongest,
    NullKind.PATHS: _paths,
    NullKind.GROWN: _grown,
    NullKind.NODES: _between_nodes,
    NullKind.EDGES: _edges,
}
