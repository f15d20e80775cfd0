"""How long a study will take, from the time of one forward pass of each of its models and of one small operation.

1. `seconds_of_a_pass` runs a model on the clean prompts of the study's pairs, three times after one that is not timed.
2. Each stage knows about how many such passes one of its cells costs (`StageWithCells.passes`); the numbers were
   measured on a model of 135 million parameters (docs/studies.md), where they include everything beside the passes.
3. `expected` adds up the cells that are not on disk yet. A model of which it is not known yet whether it has a circuit
   is counted as if it had one.
4. `seconds_beside` times small operations, of which reading models, tables and the report take a number that hardly
   depends on the models; for small models that is most of the time.
"""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import pandas as pd
import torch

from interp_emerge.abilities.prompts import DISCOVERY
from interp_emerge.core.model import HookedModel
from interp_emerge.study.cells import MissingCell
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.plan import models_with_circuits
from interp_emerge.study.rounds import ROUNDS
from interp_emerge.study.stages import of_round
from interp_emerge.study.stages.base import Load
from interp_emerge.study.work import Work

Clock = Callable[[], float]
SMALL = 2000
"""Small operations that are timed together."""
BESIDE = 2_000_000
"""Small operations that take as long as what a study does beside its cells."""


def seconds_beside(*, clock: Clock = perf_counter) -> float:
    """Seconds of what a study does beside its cells, from the shortest of three times of small operations."""
    value, times = torch.zeros(1), []
    for _ in range(3):
        start = clock()
        for _ in range(SMALL):
            value.add_(1)
        times.append(clock() - start)
    return BESIDE * min(times) / SMALL


def expected(work: Work, *, clock: Clock = perf_counter, beside: Callable[[], float] = seconds_beside) -> pd.DataFrame:
    """Seconds of each stage whose cells are missing: columns `round`, `stage`, `cells`, `passes` and `seconds`.

    The last row is what a study does beside its cells. The last model of each size is loaded and run.
    """
    timed = {at.size: _timed(work, at, clock) for at in work.grid.last}
    reader, rows = replace(work, read_only=True), []
    circuits, _ = models_with_circuits(reader)
    for one in ROUNDS:
        keys = one.keys(work.grid, circuits)
        for stage in of_round(one):
            cells, passes, seconds = 0, 0.0, 0.0
            for key in keys:
                if not _is_missing(reader, stage, key):
                    continue
                load, each = timed[_size_of(key)]
                cost = stage.passes(work, load)
                cells, passes, seconds = cells + 1, passes + cost, seconds + cost * each
            if cells:
                rows.append((one.name, stage.name, cells, passes, seconds))
    if rows:
        rows.append(("end", "tables and report", 0, 0.0, beside()))
    return pd.DataFrame(rows, columns=pd.Index(["round", "stage", "cells", "passes", "seconds"]))


def seconds_of_a_pass(model: HookedModel, tokens, *, clock: Clock = perf_counter) -> float:
    """Seconds of one forward pass over some prompts: the shortest of three, which other processes disturb least."""
    model.logits(tokens)
    times = []
    for _ in range(3):
        start = clock()
        model.logits(tokens)
        times.append(clock() - start)
    return min(times)


def in_words(seconds: float) -> str:
    """A time, to the half minute or so: `about 40 seconds`, `about 12 minutes`, `about 3.5 hours`."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _timed(work: Work, at: Checkpoint, clock: Clock) -> tuple[Load, float]:
    model = work.models.get(*at)
    pairs, graph = work.pairs(model, DISCOVERY), model.graph
    groups = [group.clean for _, group in pairs.by_length()]
    n_tokens, size = sum(group.numel() for group in groups), model.n_parameters
    load = Load(n_nodes=len(graph.writers), n_edges=graph.n_edges, n_tokens=n_tokens, n_parameters=size)
    return load, sum(seconds_of_a_pass(model, tokens, clock=clock) for tokens in groups)


def _is_missing(reader: Work, stage, key) -> bool:
    try:
        if not stage.why_not(reader, key):
            stage.cell(reader, key)
    except MissingCell:
        return True
    return False


def _size_of(key) -> str:
    """The size of a model, of a step of its training, or of the larger of two models."""
    if isinstance(key, Checkpoint):
        return key.size
    last = getattr(key, "last", None)
    return last.size if last is not None else key[-1].size
