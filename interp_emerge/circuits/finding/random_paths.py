"""Random circuits made of paths from the embedding to the logits: the null for claims about connected circuits.

A few edges drawn one by one seldom join the embedding to the logits, and then such a circuit does nothing.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph

MOST_MISSES = 30
"""After so many paths in a row that cannot be added, single edges complete a random circuit."""
MOST_ATTEMPTS = 100
"""How often a circuit is started again if there are too few single edges to complete it."""


@checked
def random_connected_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` random circuits of exactly `n_edges` edges without dead ends, each of shape [writer, reader].

    Each is a union of random paths from the embedding to the logits. A path goes from a writer to one of its readers
    with equal probability, and from there to one of the nodes that the reader feeds with equal probability. A path that
    would make the circuit too large is left out, which Shi et al. do not do. After 30 paths in a row that cannot be
    added, single edges between nodes of the circuit complete it, each with equal probability. So edges close to the
    embedding and the logits are drawn more often than others.

    Example:
        >>> [mask.sum() for mask in ie.circuits.finding.random_connected_circuits(model.graph, 12, 3)]

    Raises:
        InputError: the graph has fewer edges, the count is negative, or no such circuit was found.
    """
    if count < 0:
        raise InputError(f"count={count} is not a number of random circuits; give at least 0")
    if not 0 <= n_edges <= graph.n_edges:
        raise InputError(f"a random circuit cannot have {n_edges} edges; give 0 to {graph.n_edges}, the graph's number")
    rng = np.random.default_rng(seed)
    return [connected_circuit(graph, n_edges, rng) for _ in range(count)]


def connected_circuit(graph: Graph, n_edges: int, rng: np.random.Generator) -> EdgeMask:
    """One random circuit as `random_connected_circuits` draws them.

    Raises:
        InputError: no such circuit was found.
    """
    for _ in range(MOST_ATTEMPTS):
        kept = np.zeros_like(graph.exists)
        missing, misses = n_edges, 0
        while missing and misses < MOST_MISSES:
            new = [edge for edge in random_path(graph, rng) if not kept[edge]]
            misses = misses + 1 if not new or len(new) > missing else 0
            if not misses:
                kept[tuple(np.transpose(new))] = True
                missing -= len(new)
        at = np.argwhere(between_live_nodes(graph, kept) & ~kept)
        if len(at) >= missing:
            kept[tuple(at[rng.choice(len(at), missing, replace=False)].T)] = True
            return kept
    raise InputError(f"no connected circuit of exactly {n_edges} edges was found; choose another size")


def random_path(graph: Graph, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges of a random walk from the embedding to the logits."""
    readers, fed = _neighbours(graph)
    writer, path = 0, []
    while True:
        reader = readers[writer][rng.integers(len(readers[writer]))]
        path.append((writer, reader))
        if not fed[reader]:
            return path
        writer = fed[reader][rng.integers(len(fed[reader]))]


def random_paths_leaving(
    graph: Graph, kept: EdgeMask, count: int, rng: np.random.Generator
) -> Iterator[list[tuple[int, int]]]:
    """`count` random paths that leave a circuit, i.e. have an edge outside it.

    They have the distribution of `random_path` under the condition that the path leaves the circuit. Each step is
    weighted by the probability, computed beforehand, that the walk leaves the circuit from there on. So no path has to
    be rejected, however few edges are outside. Once the walk has left, all steps have equal probability again.

    Raises:
        InputError: the circuit is the whole graph, which no path leaves.
    """
    readers, fed = _neighbours(graph)
    from_writer, from_reader = _chances_to_leave(graph, kept)
    if not from_writer[0]:
        raise InputError("no path leaves the whole graph; give a circuit that lacks an edge")
    for _ in range(count):
        writer, path, left = 0, [], False
        while True:
            chances = np.where(kept[writer, readers[writer]], from_reader[readers[writer]], 1.0)
            reader = readers[writer][_draw(np.ones(len(chances)) if left else chances, rng)]
            path.append((writer, reader))
            left = left or not kept[writer, reader]
            if not fed[reader]:
                break
            writer = fed[reader][_draw(np.ones(len(fed[reader])) if left else from_writer[fed[reader]], rng)]
        yield path


def _chances_to_leave(graph: Graph, kept: EdgeMask) -> tuple[np.ndarray, np.ndarray]:
    """The probability that a random walk leaves the circuit from each writer on, and from each reader on."""
    readers, _ = _neighbours(graph)
    from_writer, from_reader = np.zeros(len(graph.writers)), np.zeros(len(graph.readers))
    n_fed = np.maximum(graph.owner.sum(1), 1)
    for writer in reversed(range(len(graph.writers))):
        # The nodes that this writer's readers feed run later, so their probabilities are already known.
        on = readers[writer]
        from_writer[writer] = np.where(kept[writer, on], from_reader[on], 1.0).mean()
        from_reader += graph.owner[:, writer] * from_writer[writer] / n_fed
    return from_writer, from_reader


def _draw(weights: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=weights / weights.sum()))


@cache
def _neighbours(graph: Graph) -> tuple[list[list[int]], list[list[int]]]:
    """The readers of each writer, and the writers that each reader feeds."""
    return [row.nonzero()[0].tolist() for row in graph.exists], [row.nonzero()[0].tolist() for row in graph.owner]


def between_live_nodes(graph: Graph, kept: EdgeMask) -> np.ndarray:
    """Every edge between nodes of a connected circuit; for an empty circuit, the edge from embedding to logits."""
    writes = np.any(kept, axis=1)
    writes[0] = True
    reads = graph.owner @ writes
    reads[-1] = True
    return graph.exists & writes[:, None] & reads[None, :]
