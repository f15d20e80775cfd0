"""Edge attribution: what each writer changes between the runs, times the gradient at each reader's input.

1. The difference of every writer's output between the clean and the corrupt run is recorded.
2. `reader_gradients` is averaged over points on the line between the two runs' embeddings.
3. Both are contracted over positions and width, pairs kept apart just long enough for the standard error.

Pairs are taken in chunks, so memory does not grow with their number.
"""

from collections.abc import Sequence

import numpy as np
import torch

from interp_emerge.caching.recording import EMBED, writer_outputs
from interp_emerge.core.memory import items_that_fit
from interp_emerge.patching._gradients import reader_gradients
from interp_emerge.patching.base import EdgeScores, PatchingTask, require_ordinary_run


def attribute_edges(task: PatchingTask, points: Sequence[float], method: str) -> EdgeScores:
    """Scores of all edges, the gradient averaged over `points`: 0 is the corrupt run's embedding, 1 the clean one's."""
    graph = task.graph
    total, squares = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape)
    for rows in chunks_of_pairs(task):
        per_pair = scores_per_pair(task, rows, points)
        require_ordinary_run(per_pair, f"{method} scores")
        total += per_pair.sum(0).cpu().double().numpy()
        squares += per_pair.square().sum(0).cpu().double().numpy()
    n = len(task.pairs)
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0) * n / max(1, n - 1)
    origin = task.origin(method)
    return EdgeScores(graph=graph, scores=mean, standard_errors=np.sqrt(variance / n), origin=origin)


def chunks_of_pairs(task: PatchingTask) -> list[slice]:
    """Runs of pairs that fit the memory budget."""
    width, nodes = task.model.hf.config.hidden_size, len(task.graph.readers) + len(task.graph.writers)
    layers = task.graph.n_layers
    each = 4 * task.pairs.length * width * (4 * nodes + 40 * layers)
    size = items_that_fit(each, len(task.pairs), device=task.model.device, budget=task.budget)
    return [slice(start, start + size) for start in range(0, len(task.pairs), size)]


def scores_per_pair(task: PatchingTask, rows: slice, points: Sequence[float]) -> torch.Tensor:
    clean, corrupt = task.clean[rows], task.corrupt[rows]
    start, end = corrupt.activations[EMBED], clean.activations[EMBED]
    gradients = None
    for point in points:
        embeddings = (start + point * (end - start)).to(task.model.device)
        at_point = reader_gradients(task.model, task.pairs.corrupt[rows], embeddings, task.metric[rows])
        gradients = at_point if gradients is None else gradients.add_(at_point)
    assert gradients is not None
    with torch.no_grad():
        change = writer_outputs(task.model, clean) - writer_outputs(task.model, corrupt)
        scores = torch.einsum("bpwd,bprd->bwr", change.float(), gradients.float() / len(points))
        return scores * torch.from_numpy(task.graph.exists).to(scores.device)
