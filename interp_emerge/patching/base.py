"""What a patching method is given and what it returns.

Sign: positive means that moving the node or edge from the corrupt run toward the clean one raises the metric.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interp_emerge.abilities._metrics import BoundMetric
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import Recording, record
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.intervals import mean_intervals
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

Recorder = Callable[[HookedModel, Tensor], Recording]


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchingTask:
    """One model on one set of pairs, read by one metric.

    `record` gets the activations of a run: by default by running the model, in a study from the cache on disk.
    """

    model: HookedModel
    pairs: PromptPairs
    metric: BoundMetric
    steps: int = 5
    seed: int = 0
    budget: int | None = None
    record: Recorder = record

    @property
    def graph(self) -> Graph:
        return self.model.graph

    @cached_property
    def clean(self) -> Recording:
        return self.record(self.model, self.pairs.clean)

    @cached_property
    def corrupt(self) -> Recording:
        return self.record(self.model, self.pairs.corrupt)

    def origin(self, method: str) -> dict[str, Any]:
        """What a result has to say about where it comes from."""
        return {
            "model": self.model.spec.to_dict(),
            "method": method,
            "metric": self.metric.name,
            "corruption": "resample",
            "n_pairs": len(self.pairs),
            "prompts": self.pairs.fingerprint,
            "steps": self.steps,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeScores:
    """The effect of every writer, per pair: `per_pair` has shape [pair, writer], in the metric's unit."""

    graph: Graph
    per_pair: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> np.ndarray:
        """Mean over pairs, shape [writer]."""
        return self.per_pair.mean(0)

    def to_frame(self) -> pd.DataFrame:
        """One row a node: `node`, `score` with its 95% interval `ci_low`, `ci_high`, `layer`, `kind`, `index`."""
        mean, low, high = mean_intervals(self.per_pair)
        return pd.DataFrame(
            {
                "node": self.graph.writer_names,
                "score": mean,
                "ci_low": low,
                "ci_high": high,
                "layer": [node.layer for node in self.graph.writers],
                "kind": [node.kind for node in self.graph.writers],
                "index": [node.index for node in self.graph.writers],
            }
        )

    def top(self, n: int, *, by: Literal["score", "magnitude"] = "magnitude") -> Circuit:
        """The circuit of every edge between the `n` strongest writers, less what lies on no path to the logits.

        Raises:
            InputError: `n` is not between 1 and the number of writers.
        """
        n_writers = len(self.graph.writers)
        if not 1 <= n <= n_writers:
            raise InputError(f"top({n}): the graph has {n_writers} writers; ask for 1 to {n_writers}")
        ranked = _rank(self.scores, by)
        chosen = np.isin(np.arange(len(ranked)), ranked[:n])
        chosen[0] = True
        feeds_chosen = self.graph.owner @ chosen | (np.arange(len(self.graph.readers)) == len(self.graph.readers) - 1)
        kept = self.graph.prune(self.graph.exists & chosen[:, None] & feeds_chosen.astype(bool)[None, :])
        return Circuit(graph=self.graph, kept=kept, scores=np.zeros(kept.shape), origin=self.origin)


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeScores:
    """The effect of every edge: mean over pairs and its standard error, shape [writer, reader], zero off the graph."""

    graph: Graph
    scores: np.ndarray
    standard_errors: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row an edge: `writer`, `reader`, `score`, `standard_error`."""
        writers, readers = np.nonzero(self.graph.exists)
        return pd.DataFrame(
            {
                "writer": np.array(self.graph.writer_names)[writers],
                "reader": np.array(self.graph.reader_names)[readers],
                "score": self.scores[writers, readers],
                "standard_error": self.standard_errors[writers, readers],
            }
        )

    @classmethod
    def from_frame(cls, graph: Graph, frame: pd.DataFrame, *, origin: dict[str, Any] | None = None) -> "EdgeScores":
        """The scores of a table that `to_frame` made for this graph.

        Raises:
            InputError: the table lists other edges than the graph has.
        """
        writers, readers = np.nonzero(graph.exists)
        names = np.array(graph.writer_names)[writers], np.array(graph.reader_names)[readers]
        if len(frame) != graph.n_edges or (frame["writer"] != names[0]).any() or (frame["reader"] != names[1]).any():
            raise InputError(f"the table lists {len(frame)} edges, not the {graph.n_edges} of this graph in its order")
        scores, errors = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape)
        scores[writers, readers] = frame["score"]
        errors[writers, readers] = frame["standard_error"]
        return cls(graph=graph, scores=scores, standard_errors=errors, origin=origin or {})

    def ranked(self, by: Literal["score", "magnitude"] = "magnitude") -> np.ndarray:
        """All edges from the strongest to the weakest, rows of (writer, reader); ties keep the graph's order."""
        at = np.argwhere(self.graph.exists)
        return at[_rank(self.scores[self.graph.exists], by)]

    def top(self, n: int, *, by: Literal["score", "magnitude"] = "magnitude") -> Circuit:
        """The circuit of the `n` strongest edges, less those on no path from the embedding to the logits.

        Raises:
            InputError: `n` is not between 1 and the number of edges.
        """
        if not 1 <= n <= self.graph.n_edges:
            raise InputError(f"top({n}): the graph has {self.graph.n_edges} edges; ask for 1 to {self.graph.n_edges}")
        kept = np.zeros_like(self.graph.exists)
        kept[tuple(self.ranked(by)[:n].T)] = True
        kept = self.graph.prune(kept)
        return Circuit(graph=self.graph, kept=kept, scores=self.scores * kept, origin=self.origin)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A patching method: what it scores, where it comes from, and how."""

    name: str
    summary: str
    source: Source
    scores: Literal["nodes", "edges"]
    run: Callable[[PatchingTask], NodeScores | EdgeScores]


def require_ordinary_run(values: Tensor, what: str) -> None:
    """Raise an `InputError` if scores are not finite."""
    if not torch.isfinite(values).all():
        raise InputError(f"{what} are not finite; check the model's dtype and the metric")


def _rank(scores: np.ndarray, by: str) -> np.ndarray:
    if by not in ("score", "magnitude"):
        raise InputError(f"scores are ranked by 'score' or 'magnitude', not {by!r}")
    return np.argsort(-(np.abs(scores) if by == "magnitude" else scores), kind="stable")
