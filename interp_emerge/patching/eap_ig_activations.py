"""Edge attribution patching with integrated gradients over the activations of each writer in turn.

1. The writers run in stages: the embedding, then each layer's heads together, then its MLP.
2. With `direction="denoising"` a stage's outputs move from their corrupted to their clean values, while everything
   before it stays corrupted. With `"noising"` they move from clean to corrupted, and everything before stays clean. At
   `steps` midpoints of that line the blocks behind the stage run, and give the gradient at all readers behind it.
3. The score of an edge from a writer of the stage is the writer's change times the mean of these gradients.

As the steps grow, the edges of a stage sum to the exact effect of patching the whole stage in that direction, with an
error of second order in the spacing. The embedding's edges score as under `eap_ig`. A layer's heads and its MLP are
separate stages in parallel blocks too. There neither reads the other, but moving both together would change the norms
behind them and so the gradients.

The first implementation is noising. While a stage moves, it adds the gradients to the edges of all writers and divides
by the number of stages, so that its sums are not those effects.

Positive means that the clean value of the edge raises the metric. Cost: two forward passes; and for each of the
2 · layers + 1 stages and each step, a forward and a backward pass of the blocks behind the stage. `positions` resolves
scores by token position.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, EdgeScores, Method, PatchingTask
from interp_emerge.patching.engines.attribution import (
    add_edges,
    arrangement,
    bytes_held,
    bytes_per_pair,
    contraction_passes,
    edge_changes,
    empty_sums,
    in_groups,
    midpoints,
    tally_edges,
)
from interp_emerge.patching.engines.gradients import Parts, ReaderGradients, differentiable_run, run_of_prompts
from interp_emerge.patching.engines.options import AtPositions, Direction, Steps


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `eap_ig_activations`."""

    steps: Steps = 5
    direction: Direction = "denoising"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stage:
    """Writers that move together, and where the run behind them starts."""

    writers: slice
    stream: Tensor
    """The residual stream behind the stage in the run that is patched."""
    change: Tensor
    """The stage's outputs in the other run less those in the run that is patched."""
    first: int
    """The first block that runs."""
    midway: bool = False
    """Whether that block starts at its MLP."""


def run(task: PatchingTask[Options]) -> EdgeScores:
    points = midpoints(task.options.steps)
    return tally_edges(task, lambda rows: _chunk_scores(task, rows, points), bytes_per_pair(task), "eap_ig_activations")


def cost(task: PatchingTask[Options]) -> Cost:
    points = midpoints(task.options.steps)
    # On average half of the model lies behind a stage, and runs forward and backward.
    passes = 2 + len(points) * (2 * task.graph.n_layers + 1) * (1 + contraction_passes(task) / 2)
    return Cost(passes=passes, bytes=bytes_held(task, bytes_per_pair(task)))


@torch.no_grad()
def _chunk_scores(task: PatchingTask[Options], rows: slice, points: list[float]) -> Tensor:
    decoder, arrange = task.model.decoder, arrangement(task, rows)
    clean, corrupt = (
        run_of_prompts(task.model, tokens[rows]).parts for tokens in (task.pairs.clean, task.pairs.corrupt)
    )
    changes = edge_changes(task, clean, corrupt, arrange)
    sums = empty_sums(task, changes)
    patched, other = (corrupt, clean) if task.options.direction == "denoising" else (clean, corrupt)
    stages = [*_stages(task, patched, other)]
    del clean, corrupt, patched, other
    for stage in stages:
        for group in in_groups(points):
            gradients = ReaderGradients(decoder, task.metric[rows], arrange)
            for point in group:
                start = stage.stream + point * stage.change
                gradients.add(differentiable_run(decoder, start, first=stage.first, midway=stage.midway))
            add_edges(sums, task.graph, changes[stage.writers], gradients, stage.writers.start)
    return sums / len(points)


def _stages(task: PatchingTask, patched: Parts, other: Parts) -> Iterator[_Stage]:
    """The stages in the order in which they run."""
    graph, first = task.graph, 1

    def change(kind: str, layer: int) -> Tensor:
        return other[kind, layer] - patched[kind, layer]

    yield _Stage(writers=slice(0, 1), stream=patched["resid_pre", 0], change=change("resid_pre", 0), first=0)
    for layer, block in enumerate(task.model.decoder.blocks):
        after = patched["resid_pre", layer + 1]
        heads, mlp = slice(first, first + graph.n_heads), first + graph.n_heads
        moved = change("attention", layer)
        if block.parallel:
            yield _Stage(writers=heads, stream=after, change=moved, first=layer + 1)
        else:
            yield _Stage(writers=heads, stream=patched["resid_mid", layer], change=moved, first=layer, midway=True)
        yield _Stage(writers=slice(mlp, mlp + 1), stream=after, change=change("mlp", layer), first=layer + 1)
        first = mlp + 1


shelf.add(
    Method(
        name="eap_ig_activations",
        summary="edge attribution patching, the gradient averaged between corrupted and clean outputs of each stage",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        scores="edges",
        run=run,
        cost=cost,
        options=Options,
    )
)
