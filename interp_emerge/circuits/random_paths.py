"""Random circuits made of paths from the embedding to the logits: the null of claims about connected circuits.

Edges drawn one by one seldom join the embedding to the logits while they are few, and such circuits do nothing at all.
"""

from functools import cache

import numpy as np

from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph

MOST_MISSES = 30
"""Paths in a row that are of no use, after which single edges fill a random circuit."""
MOST_ATTEMPTS = 100
"""Circuits begun anew where single edges are too few."""


def random_connected_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` random circuits of exactly `n_edges` edges, none of which pruning drops, shape [writer, reader] each.

    Each is a union of random paths from the embedding to the logits; a path goes from a writer to any of its readers
    alike, and from there to any of the nodes that the reader feeds. A path that would make the circuit too large is
    left out, as Shi et al. do not. Where 30 paths in a row add nothing, single edges between nodes of the circuit fill
    it, any of them alike. So edges close to the embedding and logits are drawn more often than others.

    Raises:
        InputError: the graph has fewer edges, or no such circuit was found.
    """
    if not 0 <= n_edges <= graph.n_edges:
        raise InputError(f"no random circuit has {n_edges} edges: the graph has {graph.n_edges}")
    rng = np.random.default_rng(seed)
    return [_connected(graph, n_edges, rng) for _ in range(count)]


def _connected(graph: Graph, n_edges: int, rng: np.random.Generator) -> np.ndarray:
    for _ in range(MOST_ATTEMPTS):
        kept = np.zeros_like(graph.exists)
        missing, misses = n_edges, 0
        while missing and misses < MOST_MISSES:
            new = [edge for edge in random_path(graph, rng) if not kept[edge]]
            misses = misses + 1 if not new or len(new) > missing else 0
            if not misses:
                kept[tuple(np.transpose(new))] = True
                missing -= len(new)
        at = np.argwhere(_between_live_nodes(graph, kept) & ~kept)
        if len(at) >= missing:
            kept[tuple(at[rng.choice(len(at), missing, replace=False)].T)] = True
            return kept
    raise InputError(
        f"no connected circuit of exactly {n_edges} edges was found; choose another size or connected=False"
    )


def random_path(graph: Graph, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges of a random walk from the embedding to the logits."""
    readers, fed = _ways(graph)
    writer, path = 0, []
    while True:
        reader = readers[writer][rng.integers(len(readers[writer]))]
        path.append((writer, reader))
        if not fed[reader]:
            return path
        writer = fed[reader][rng.integers(len(fed[reader]))]


@cache
def _ways(graph: Graph) -> tuple[list[list[int]], list[list[int]]]:
    """Where each writer's output goes, and which writers each reader feeds."""
    return [row.nonzero()[0].tolist() for row in graph.exists], [row.nonzero()[0].tolist() for row in graph.owner]


def _between_live_nodes(graph: Graph, kept: np.ndarray) -> np.ndarray:
    """Every edge that a connected circuit can hold without a dead end; of an empty one, that straight to the logits."""
    writes = np.any(kept, axis=1)
    writes[0] = True
    heard = graph.owner @ writes
    heard[-1] = True
    return graph.exists & writes[:, None] & heard[None, :]
