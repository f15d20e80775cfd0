"""A circuit: the edges of a model's graph that are claimed to carry an ability, and where the claim comes from."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.core.files import canonical_json, write_atomically
from interp_emerge.core.graph import LOGITS, Edge, Graph

if TYPE_CHECKING:
    import networkx

    from interp_emerge.core.model import HookedModel

SCHEMA = "interp_emerge.circuit/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """Edges kept from a graph, with their scores where a method gave them.

    `kept` and `scores` have shape [writer, reader]; `scores` is zero where nothing was scored. `origin` says how the
    circuit was found: model, method, metric, prompts.
    """

    graph: Graph
    kept: np.ndarray
    scores: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kept.shape != self.graph.exists.shape or self.scores.shape != self.graph.exists.shape:
            raise InputError(f"a circuit of this graph needs edges of shape {self.graph.exists.shape}, "
                             f"not {self.kept.shape} and {self.scores.shape}")  # fmt: skip

    @classmethod
    def from_edges(cls, model: "HookedModel", edges: Iterable[tuple[str, str] | Edge], **origin: Any) -> "Circuit":
        """A circuit from pairs of writer and reader names.

        Raises:
            UnknownNameError: a node that the model lacks.
            InputError: an edge whose reader runs before its writer.
        """
        kept, origin = model.graph.edge_matrix(edges), {"model": str(model.spec), **origin}
        return cls(graph=model.graph, kept=kept, scores=np.zeros(kept.shape), origin=origin)

    def __len__(self) -> int:
        return int(self.kept.sum())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Circuit) and self.graph == other.graph and bool((self.kept == other.kept).all())

    def __hash__(self) -> int:
        return hash((self.graph, self.kept.tobytes()))

    def __repr__(self) -> str:
        return f"Circuit({len(self)} of {self.graph.n_edges} edges, heads {' '.join(self.heads) or 'none'})"

    @property
    def edges(self) -> list[Edge]:
        """The kept edges, in the order in which they run."""
        return [
            Edge(self.graph.writer_names[writer], self.graph.reader_names[reader])
            for writer, reader in np.argwhere(self.kept)
        ]

    @property
    def heads(self) -> list[str]:
        """Names of the attention heads that write a kept edge."""
        writers = [self.graph.writers[index] for index in np.flatnonzero(self.kept.any(1))]
        return [node.name for node in writers if node.kind == "head"]

    def to_frame(self) -> pd.DataFrame:
        """The kept edges, columns `writer`, `reader`, `score`."""
        at = np.argwhere(self.kept)
        return pd.DataFrame(
            {
                "writer": [self.graph.writer_names[writer] for writer, _ in at],
                "reader": [self.graph.reader_names[reader] for _, reader in at],
                "score": self.scores[self.kept],
            }
        )

    def to_networkx(self) -> "networkx.MultiDiGraph":
        """A directed graph over components, in which every edge says which reader of its target it enters.

        A head's queries, keys and values are one component; what enters a shared key or value enters every head that
        uses it.
        """
        import networkx

        directed = networkx.MultiDiGraph()
        for writer, reader in np.argwhere(self.kept):
            targets = [self.graph.writer_names[index] for index in np.flatnonzero(self.graph.owner[reader])] or [LOGITS]
            name, score = self.graph.reader_names[reader], float(self.scores[writer, reader])
            for target in targets:
                directed.add_edge(self.graph.writer_names[writer], target, reader=name, score=score)
        return directed

    def to_json(self) -> bytes:
        """The circuit as a file holds it: equal circuits of equal origin give equal bytes."""
        content = {
            "schema": SCHEMA,
            "graph": asdict(self.graph),
            "origin": self.origin,
            "edges": [[*row] for row in self.to_frame().itertuples(index=False)],
        }
        return canonical_json(content)

    def save(self, path: str | Path) -> None:
        """Write the circuit as JSON."""
        write_atomically(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Circuit":
        """Read a circuit that `save` wrote.

        Raises:
            InputError: the file is missing, no circuit, or of another schema.
        """
        try:
            content = json.loads(Path(path).read_text())
            if content["schema"] != SCHEMA:
                raise InputError(f"{path} has schema {content['schema']!r}; this version reads {SCHEMA!r}")
            graph, origin = Graph(**content["graph"]), dict(content["origin"])
            rows = [(writer, reader, float(score)) for writer, reader, score in content["edges"]]
            kept = graph.edge_matrix((writer, reader) for writer, reader, _ in rows)
        except (OSError, KeyError, TypeError, ValueError) as error:
            found = type(error).__name__
            raise InputError(f"{path} is no circuit file ({found}); write one with Circuit.save") from error
        scores = np.zeros(kept.shape)
        for writer, reader, score in rows:
            scores[graph.writer_names.index(writer), graph.reader_names.index(reader)] = score
        return cls(graph=graph, kept=kept, scores=scores, origin=origin)
