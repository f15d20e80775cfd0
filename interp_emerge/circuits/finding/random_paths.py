"""Random circuits made of paths from the embedding to the logits: the null of claims about connected circuits.

Edges drawn one by one seldom join the embedding to the logits while they are few, and such circuits do nothing at all.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph

MOST_MISSES = 30
"""Paths in a row that are of no use, after which single edges fill a random circuit."""
MOST_ATTEMPTS = 100
"""Circuits begun anew where single edges are too few."""


@checked
def random_connected_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` random circuits of exactly `n_edges` edges, none of which pruning drops, shape [writer, reader] each.

    Each is a union of random paths from the embedding to the logits; a path goes from a writer to any of its readers
    alike, and from there to any of the nodes that the reader feeds. A path that would make the circuit too large is
    left out, as Shi et al. do not. Where 30 paths in a row add nothing, single edges between nodes of the circuit fill
    it, any of them alike. So edges close to the embedding and logits are drawn more often than others.

    Raises:
        InputError: the graph has fewer edges, the count is negative, or no such circuit was found.
    """
    if count < 0:
        raise InputError(f"count={count} is not a number of random circuits; give at least 0")
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


def random_paths_leaving(
    graph: Graph, kept: EdgeMask, count: int, rng: np.random.Generator
) -> Iterator[list[tuple[int, int]]]:
    """`count` random paths with an edge outside a circuit: distributed as `random_path` is among those that have one.

    Each step is weighed by the chance that the walk leaves the circuit later on, which is known beforehand, so that no
    path is drawn in vain however few edges are outside. Once the walk has left, all steps are alike again.

    Raises:
        InputError: the circuit is the whole graph, which no path leaves.
    """
    readers, fed = _ways(graph)
    from_writer, from_reader = _chances_to_leave(graph, kept)
    if not from_writer[0]:
        raise InputError("no path has an edge outside of the whole graph; give a circuit that lacks an edge")
    for _ in range(count):
        writer, path, left = 0, [], False
        while True:
            chances = np.where(kept[writer, readers[writer]], from_reader[readers[writer]], 1.0)
            reader = readers[writer][_drawn(np.ones(len(chances)) if left else chances, rng)]
            path.append((writer, reader))
            left = left or not kept[writer, reader]
            if not fed[reader]:
                break
            writer = fed[reader][_drawn(np.ones(len(fed[reader])) if left else from_writer[fed[reader]], rng)]
        yield path


def _chances_to_leave(graph: Graph, kept: EdgeMask) -> tuple[np.ndarray, np.ndarray]:
    """The chance that a random walk takes an edge outside the circuit, from each writer and from each reader on."""
    readers, _ = _ways(graph)
    from_writer, from_reader = np.zeros(len(graph.writers)), np.zeros(len(graph.readers))
    n_fed = np.maximum(graph.owner.sum(1), 1)
    for writer in reversed(range(len(graph.writers))):
        # Whatever this writer's readers feed runs later, so that their chances are complete.
        on = readers[writer]
        from_writer[writer] = np.where(kept[writer, on], from_reader[on], 1.0).mean()
        from_reader += graph.owner[:, writer] * from_writer[writer] / n_fed
    return from_writer, from_reader


def _drawn(weights: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=weights / weights.sum()))


@cache
def _ways(graph: Graph) -> tuple[list[list[int]], list[list[int]]]:
    """Where each writer's output goes, and which writers each reader feeds."""
    return [row.nonzero()[0].tolist() for row in graph.exists], [row.nonzero()[0].tolist() for row in graph.owner]


def _between_live_nodes(graph: Graph, kept: EdgeMask) -> np.ndarray:
    """Every edge that a connected circuit can hold without a dead end; of an empty one, that straight to the logits."""
    writes = np.any(kept, axis=1)
    writes[0] = True
    heard = graph.owner @ writes
    heard[-1] = True
    return graph.exists & writes[:, None] & heard[None, :]
