"""The computational graph of a decoder: writers, readers and the edges between them.

A *writer* adds to the residual stream: the embedding, each attention head, each MLP. A *reader* reads from it: the
queries, keys and values of each head (keys and values of each key-value head under grouped queries), each MLP and the
logits. The input of a reader is the sum of the writers before it, taken before its norm; an edge is one term of that
sum. A bias of attention's output belongs to no writer: it is the same in every run and cancels in differences.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.record import Record

EMBED, LOGITS = "embed", "logits"
Kind = Literal[
    "embed", "head", "mlp", "q", "k", "v", "logits", "pattern", "attention", "resid_pre", "resid_mid", "resid_post"
]
WHOLE_LAYER = {
    "mlp": "m{}",
    "attention": "a{}",
    "resid_pre": "r{}.pre",
    "resid_mid": "r{}.mid",
    "resid_post": "r{}.post",
}
"""Names of the kinds of node that occur once in a layer."""


@dataclass(frozen=True, order=True)
class Node:
    """A place in the decoder; `index` counts heads within the layer and is 0 where there is only one."""

    layer: int
    kind: Kind
    index: int = 0

    @property
    def name(self) -> str:
        """The name in results: `embed`, `a3.h1`, `m3`, `a3.h1.q`, `a3.kv0.k`, `logits`, `a3.h1.pattern`, `r3.pre`.

        Whether a key is named by head or by key-value head depends on the graph: see `Graph.node_name`.
        """
        if self.kind in ("embed", "logits"):
            return self.kind
        if self.kind in WHOLE_LAYER:
            return WHOLE_LAYER[self.kind].format(self.layer)
        head = f"a{self.layer}.h{self.index}"
        return head if self.kind == "head" else f"{head}.{self.kind}"


@dataclass(frozen=True)
class Edge:
    """One writer's term in one reader's input, by their names."""

    writer: str
    reader: str


@dataclass(frozen=True, kw_only=True)
class Graph(Record):
    """All writers, readers and edges of a decoder of the given shape.

    Example:
        >>> model.graph.writer_names[:3], model.graph.n_edges
        (('embed', 'a0.h0', 'a0.h1'), 102)
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    parallel: bool
    joined: bool = False
    """Whether one head's query or key changes every head of its layer, through a norm that runs over all of them."""
    rescaled: bool = False
    """Whether one head's output changes what every head of its layer writes, through a norm after attention."""

    @cached_property
    def writers(self) -> tuple[Node, ...]:
        """Writers in the order in which they run; a layer's heads come before its MLP."""
        nodes = [Node(-1, "embed")]
        for layer in range(self.n_layers):
            nodes += [Node(layer, "head", head) for head in range(self.n_heads)]
            nodes.append(Node(layer, "mlp"))
        return tuple(nodes)

    @cached_property
    def readers(self) -> tuple[Node, ...]:
        """Readers in the order in which they run: a layer's queries, keys, values, then its MLP; last the logits."""
        nodes: list[Node] = []
        for layer in range(self.n_layers):
            nodes += [Node(layer, "q", head) for head in range(self.n_heads)]
            nodes += [Node(layer, "k", head) for head in range(self.n_kv_heads)]
            nodes += [Node(layer, "v", head) for head in range(self.n_kv_heads)]
            nodes.append(Node(layer, "mlp"))
        return (*nodes, Node(self.n_layers, "logits"))

    def nodes(self, kinds: Iterable[str]) -> tuple[Node, ...]:
        """All nodes of some kinds, in the order in which they run.

        Raises:
            UnknownNameError: the kind does not exist, or this graph has no node of it.
        """
        count: dict[str, int] = dict.fromkeys(("head", "q", "pattern"), self.n_heads)
        count |= dict.fromkeys(("k", "v"), self.n_kv_heads)
        within: tuple[Kind, ...] = (
            "resid_pre",
            "q",
            "k",
            "v",
            "pattern",
            "head",
            "attention",
            "resid_mid",
            "mlp",
            "resid_post",
        )
        known = [EMBED, *(kind for kind in within if not (self.parallel and kind == "resid_mid"))]
        wanted = tuple(kinds)
        for kind in wanted:
            if kind not in known:
                raise UnknownNameError("site", kind, known)
        nodes = [Node(-1, EMBED)] if EMBED in wanted else []
        for layer in range(self.n_layers):
            for kind in within:
                if kind in wanted:
                    nodes += [Node(layer, kind, index) for index in range(count.get(kind, 1))]
        return tuple(nodes)

    @cached_property
    def writer_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.writers)

    @cached_property
    def reader_names(self) -> tuple[str, ...]:
        return tuple(self.node_name(node) for node in self.readers)

    def node_name(self, node: Node) -> str:
        """A node's name, with `kv` where several query heads share the key or value."""
        if node.kind in ("k", "v") and self.n_kv_heads != self.n_heads:
            return f"a{node.layer}.kv{node.index}.{node.kind}"
        return node.name

    def n_writers_before(self, reader: Node) -> int:
        """How many of `writers`, counted from the first, a reader reads."""
        per_layer = self.n_heads + 1
        if reader.kind == "logits":
            return 1 + self.n_layers * per_layer
        before = 1 + reader.layer * per_layer
        return before + self.n_heads if reader.kind == "mlp" and not self.parallel else before

    @cached_property
    def exists(self) -> np.ndarray:
        """Which writer-reader pairs are edges, bool, shape [writer, reader]."""
        before = np.array([self.n_writers_before(reader) for reader in self.readers])
        return np.arange(len(self.writers))[:, None] < before[None, :]

    @cached_property
    def n_edges(self) -> int:
        """Number of edges; an edge stands for all token positions."""
        return int(self.exists.sum())

    @cached_property
    def owner(self) -> np.ndarray:
        """Which writers each reader feeds, bool, shape [reader, writer].

        The queries of a head feed that head; a shared key or value feeds every head of its group; the logits feed none.
        """
        group = self.n_heads // self.n_kv_heads
        feeds = np.zeros((len(self.readers), len(self.writers)), dtype=bool)
        position = {node: index for index, node in enumerate(self.writers)}
        for row, reader in enumerate(self.readers):
            if reader.kind == "mlp":
                feeds[row, position[Node(reader.layer, "mlp")]] = True
            elif reader.kind == "q":
                feeds[row, position[Node(reader.layer, "head", reader.index)]] = True
            elif reader.kind in ("k", "v"):
                for head in range(reader.index * group, (reader.index + 1) * group):
                    feeds[row, position[Node(reader.layer, "head", head)]] = True
        return feeds

    @cached_property
    def reaches(self) -> np.ndarray:
        """Which writers' output each reader can change within its own block, bool, shape [reader, writer].

        These are the writers that it feeds. Where a norm runs over all heads of a layer, they are all those heads.
        """
        reached = self.owner.copy()
        sharing = ("q", "k", "v") if self.rescaled else ("q", "k") if self.joined else ()
        of_heads = np.array([node.layer if node.kind == "head" else -1 for node in self.writers])
        for row, reader in enumerate(self.readers):
            if reader.kind in sharing:
                reached[row] |= of_heads == reader.layer
        return reached

    def edge_matrix(self, edges: Iterable[tuple[str, str] | Edge]) -> np.ndarray:
        """Named edges as a bool matrix, shape [writer, reader].

        Raises:
            UnknownNameError: the graph has no node of that name.
            InputError: both nodes exist, but the reader runs before the writer.
        """
        writers = {name: index for index, name in enumerate(self.writer_names)}
        readers = {name: index for index, name in enumerate(self.reader_names)}
        kept = np.zeros((len(writers), len(readers)), dtype=bool)
        for edge in edges:
            if isinstance(edge, str) or not (isinstance(edge, Edge) or len(edge) == 2):
                raise InputError(f"{edge!r} is not an edge; write it as a pair of names, such as ('embed', 'logits')")
            writer, reader = (edge.writer, edge.reader) if isinstance(edge, Edge) else edge
            if writer not in writers:
                raise UnknownNameError("writer", writer, writers)
            if reader not in readers:
                raise UnknownNameError("reader", reader, readers)
            if not self.exists[writers[writer], readers[reader]]:
                raise InputError(f"there is no edge {writer} → {reader}: {writer} runs after {reader}; give edges "
                                 "from earlier nodes to later ones")  # fmt: skip
            kept[writers[writer], readers[reader]] = True
        return kept

    def is_one_of(self, nodes: Iterable[str]) -> np.ndarray:
        """Which of the writers are among these nodes, bool, shape [writer].

        Raises:
            UnknownNameError: the graph has no writer of that name.
        """
        at = {name: index for index, name in enumerate(self.writer_names)}
        chosen = np.zeros(len(at), dtype=bool)
        for node in [nodes] if isinstance(nodes, str) else nodes:
            if node not in at:
                raise UnknownNameError("node", node, at)
            chosen[at[node]] = True
        return chosen

    def between(self, nodes: Iterable[str]) -> np.ndarray:
        """All edges among these writers, the embedding and the logits, pruned, bool, shape [writer, reader].

        Raises:
            UnknownNameError: the graph has no writer of that name.
        """
        chosen = self.is_one_of(nodes)
        chosen[0] = True
        feeds_chosen = self.owner @ chosen
        feeds_chosen[-1] = True
        return self.prune(self.exists & chosen[:, None] & feeds_chosen[None, :])

    def prune(self, kept: np.ndarray) -> np.ndarray:
        """The edges among `kept` that lie on a path from the embedding to the logits, shape [writer, reader].

        Dropping the other edges does not change a run of the circuit. A writer without a path from the embedding
        writes its ablated value, and a writer without a path to the logits has no effect.
        """
        kept = kept & self.exists
        feeds = self.reaches.astype(np.int64)
        while True:
            reached = kept.any(0) @ feeds > 0
            reached[0] = True
            used = feeds @ kept.any(1) > 0
            used[-1] = True
            pruned = kept & reached[:, None] & used[None, :]
            if (pruned == kept).all():
                return pruned
            kept = pruned


def without_writers(kept: np.ndarray, writers: Iterable[int] | np.ndarray) -> np.ndarray:
    """The edges without those of some writers, which are given by index, shape [writer, reader]."""
    left = kept.copy()
    left[[*writers]] = False
    return left


def without_edges(kept: np.ndarray, edges: Iterable[Sequence[int] | np.ndarray]) -> np.ndarray:
    """The edges without some of them, which are given as rows of (writer, reader), shape [writer, reader]."""
    left = kept.copy()
    left[tuple(np.array([tuple(edge) for edge in edges], dtype=int).reshape(-1, 2).T)] = False
    return left
