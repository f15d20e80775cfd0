"""A circuit: the edges of a model's graph that are claimed to carry an ability, and how they were found."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, InterpEmergeError
from interp_emerge.core.files import canonical_json, require_writable, write_atomically
from interp_emerge.core.graph import LOGITS, Edge, Graph, without_writers
from interp_emerge.core.showing import Showing

if TYPE_CHECKING:
    import networkx

    from interp_emerge.core.model import HookedModel

NAMED = 12
"""Most heads that a circuit's text form names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit(Showing):
    """Some edges of a graph, with their scores where a method gave them.

    `kept` and `scores` have shape [writer, reader]; `scores` is zero where nothing was scored. `origin` says how the
    circuit was found: `model` (the fields of its specification), `method`, `metric`, `ablation`, `prompts` (a hash).

    Circuits of the same graph combine like sets of edges: `a | b`, `a & b`, `a - b`, `a ^ b`, `a <= b`. The result
    takes the score of each edge from the left circuit if that has the edge, else from the right one.

    Example:
        >>> circuit = ie.Circuit.from_edges(model, [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.k"), ("a1.h0", "logits")])
        >>> circuit.save("mine.json")
        >>> ie.Circuit.load("mine.json") == circuit
        True
    """

    FIGURE = "circuit_graph"
    graph: Graph
    kept: np.ndarray
    scores: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kept.shape != self.graph.exists.shape or self.scores.shape != self.graph.exists.shape:
            raise InputError(f"kept has shape {self.kept.shape} and scores has shape {self.scores.shape}; for this "
                             f"graph give both as {self.graph.exists.shape}, (writers, readers)")  # fmt: skip

    @classmethod
    @checked
    def from_edges(cls, model: "HookedModel", edges: Iterable[tuple[str, str] | Edge], **origin: Any) -> "Circuit":
        """A circuit from pairs of writer and reader names.

        Raises:
            UnknownNameError: the model has no node of that name.
            InputError: the reader of an edge runs before its writer.
        """
        kept, origin = model.graph.edge_matrix(edges), {"model": model.spec.to_dict(), **origin}
        return cls(graph=model.graph, kept=kept, scores=np.zeros(kept.shape), origin=origin)

    @classmethod
    @checked
    def from_nodes(cls, model: "HookedModel", nodes: Iterable[str], **origin: Any) -> "Circuit":
        """All edges among these nodes, and from them to the logits, that lie on a path from embedding to logits.

        The embedding is always included. Running these edges is the same as running only these nodes, since nothing
        reads a node that is left out. There is one exception: in a model with a norm after attention, a head that is
        left out still contributes to the scale of its layer.

        Raises:
            UnknownNameError: the model has no writer of that name.
        """
        kept, origin = model.graph.between(nodes), {"model": model.spec.to_dict(), **origin}
        return cls(graph=model.graph, kept=kept, scores=np.zeros(kept.shape), origin=origin)

    def __len__(self) -> int:
        return int(self.kept.sum())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Circuit) and self.graph == other.graph and bool((self.kept == other.kept).all())

    def __hash__(self) -> int:
        return hash((self.graph, self.kept.tobytes()))

    def __repr__(self) -> str:
        heads = self.heads
        more = f" and {len(heads) - NAMED} more" if len(heads) > NAMED else ""
        named = " ".join(heads[:NAMED]) or "none"
        return f"Circuit({len(self)} of {self.graph.n_edges} edges, heads {named}{more})"

    @property
    def edges(self) -> list[Edge]:
        """The kept edges, in the order in which they run."""
        return [
            Edge(self.graph.writer_names[writer], self.graph.reader_names[reader])
            for writer, reader in np.argwhere(self.kept)
        ]

    @property
    def nodes(self) -> list[str]:
        """Names of the writers that write a kept edge, in the order in which they run."""
        return [self.graph.writer_names[index] for index in np.flatnonzero(self.kept.any(1))]

    @property
    def heads(self) -> list[str]:
        """Names of the attention heads that write a kept edge."""
        writers = [self.graph.writers[index] for index in np.flatnonzero(self.kept.any(1))]
        return [node.name for node in writers if node.kind == "head"]

    def __or__(self, other: "Circuit") -> "Circuit":
        return self._joined(other, "|", self.kept | self._same_graph(other).kept)

    def __and__(self, other: "Circuit") -> "Circuit":
        return self._joined(other, "&", self.kept & self._same_graph(other).kept)

    def __sub__(self, other: "Circuit") -> "Circuit":
        return self._joined(other, "-", self.kept & ~self._same_graph(other).kept)

    def __xor__(self, other: "Circuit") -> "Circuit":
        return self._joined(other, "^", self.kept ^ self._same_graph(other).kept)

    def __le__(self, other: "Circuit") -> bool:
        return not (self.kept & ~self._same_graph(other).kept).any()

    def __lt__(self, other: "Circuit") -> bool:
        return self <= other and self != other

    def with_kept(self, kept: np.ndarray) -> "Circuit":
        """Other edges of the same graph, with the scores that this circuit has for them."""
        return replace(self, kept=kept & self.graph.exists, scores=self.scores * kept)

    def with_origin(self, **more: Any) -> "Circuit":
        """The same circuit, with more fields in its origin."""
        return replace(self, origin={**self.origin, **more})

    def complement(self) -> "Circuit":
        """All edges of the graph that are not in the circuit."""
        return self.with_kept(self.graph.exists & ~self.kept)

    def pruned(self) -> "Circuit":
        """The edges that lie on a path from the embedding to the logits."""
        return self.with_kept(self.graph.prune(self.kept))

    def without(self, nodes: Iterable[str]) -> "Circuit":
        """The circuit without the edges that these nodes write, pruned to paths from the embedding to the logits.

        Raises:
            UnknownNameError: the graph has no writer of that name.
        """
        return self.with_kept(without_writers(self.kept, np.flatnonzero(self.graph.is_one_of(nodes)))).pruned()

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
        """A directed graph of components; each edge names the reader by which it enters its target, and its score.

        A head with its queries, keys and values is one component. An edge into a shared key or value leads to every
        head that uses it.
        """
        import networkx

        directed = networkx.MultiDiGraph()
        for writer, reader in np.argwhere(self.kept):
            targets = [self.graph.writer_names[index] for index in np.flatnonzero(self.graph.owner[reader])] or [LOGITS]
            name, score = self.graph.reader_names[reader], float(self.scores[writer, reader])
            for target in targets:
                directed.add_edge(self.graph.writer_names[writer], target, reader=name, score=score)
        return directed

    def to_graphml(self, path: str | Path) -> None:
        """Write the graph of components as GraphML, which Gephi, Cytoscape, igraph and yEd read.

        Raises:
            InputError: the file cannot be written.
        """
        import networkx

        drawn = self.to_networkx()
        drawn.graph |= {"origin": canonical_json(self.origin).decode(), "n_graph_edges": self.graph.n_edges}
        _write(path, "\n".join(networkx.generate_graphml(drawn)).encode())

    def to_json(self) -> bytes:
        """The content of a circuit file. Equal circuits with equal origins give equal bytes.

        `docs/circuit.schema.json` is its schema.
        """
        from interp_emerge.core.circuit_file import SCHEMA

        content = {
            "schema": SCHEMA,
            "graph": asdict(self.graph),
            "origin": self.origin,
            "edges": [[*row] for row in self.to_frame().itertuples(index=False)],
        }
        return canonical_json(content)

    def save(self, path: str | Path) -> None:
        """Write the circuit as JSON.

        Raises:
            InputError: the file cannot be written.
        """
        _write(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Circuit":
        """Read a circuit that `save` wrote, on any machine and without the model.

        Raises:
            InputError: the file is missing, is not a circuit, or has another schema.
        """
        from pydantic import ValidationError

        from interp_emerge.core.circuit_file import SCHEMA, CircuitFile

        try:
            text = Path(path).read_text()
            read = CircuitFile.model_validate_json(text)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a circuit file ({error}); write one with Circuit.save") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            if place == "schema" and first["type"] == "literal_error":
                raise InputError(f"{path} has schema {first['input']!r}, and this version reads {SCHEMA!r}; write the "
                                 "file again with Circuit.save") from error  # fmt: skip
            problem = f"{place}: {first['msg']}" if place else first["msg"]
            raise InputError(f"{path} is not a circuit file ({problem}); write one with Circuit.save") from error
        graph = Graph(**read.graph.model_dump())
        try:
            kept = graph.edge_matrix((writer, reader) for writer, reader, _ in read.edges)
        except InterpEmergeError as error:
            raise InputError(f"{path}: {error}") from error
        scores = np.zeros(kept.shape)
        for writer, reader, score in read.edges:
            scores[graph.writer_names.index(writer), graph.reader_names.index(reader)] = score
        return cls(graph=graph, kept=kept, scores=scores, origin=read.origin.model_dump(exclude_unset=True))

    def _same_graph(self, other: "Circuit") -> "Circuit":
        if not isinstance(other, Circuit) or self.graph != other.graph:
            raise InputError(f"cannot combine {self!r} with {other!r}; give two circuits of the same graph")
        return other

    def _joined(self, other: "Circuit", operation: str, kept: np.ndarray) -> "Circuit":
        scores = np.where(self.kept, self.scores, other.scores) * kept
        origin = {"operation": operation, "of": [self.origin, other.origin]}
        return Circuit(graph=self.graph, kept=kept, scores=scores, origin=origin)


def _write(path: str | Path, content: bytes) -> None:
    require_writable(path)
    write_atomically(Path(path), content)
