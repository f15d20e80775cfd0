"""The order in which edges are added from the logits backward, always the strongest edge that leads to the logits.

Source: Hanna et al., 2024, https://arxiv.org/abs/2403.17806.
"""

from heapq import heappop, heappush

import numpy as np

from interp_emerge.core.graph import Graph


def grown_order(graph: Graph, ranked: np.ndarray, n: int) -> np.ndarray:
    """The first `n` edges that growth adds, as rows (writer, reader), given all edges from the strongest on.

    A reader is open once an edge into it may be added. The heap holds the strongest remaining edge of each open reader,
    so it is never longer than the list of readers. Ties keep the order of `ranked`.
    """
    # Edges sorted by reader, and by strength for each reader.
    by_reader = np.argsort(ranked[:, 1], kind="stable")
    starts = np.searchsorted(ranked[by_reader, 1], np.arange(len(graph.readers) + 1))
    feeders = [np.flatnonzero(column).tolist() for column in graph.reaches.T]
    heap: list[tuple[int, int, int]] = []
    opened = np.zeros(len(graph.readers), dtype=bool)

    def take_next(reader: int, at: int) -> None:
        if at < starts[reader + 1]:
            heappush(heap, (int(by_reader[at]), reader, at))

    opened[-1] = True
    take_next(len(graph.readers) - 1, int(starts[-2]))
    is_in = np.zeros(len(graph.writers), dtype=bool)
    taken: list[int] = []
    while heap and len(taken) < n:
        rank, reader, at = heappop(heap)
        taken.append(rank)
        take_next(reader, at + 1)
        writer = int(ranked[rank, 0])
        if not is_in[writer]:
            is_in[writer] = True
            for fed in feeders[writer]:
                if not opened[fed]:
                    opened[fed] = True
                    take_next(fed, int(starts[fed]))
    return ranked[taken]
