"""The result of a patching method: the effect of every node or edge, with its uncertainty over prompt pairs.

Positive means that moving the node or edge from the corrupted run toward the clean one raises the metric. The 95%
intervals are over pairs (`stats.intervals`). The p-values are those of the two-sided sign-flip test
that the mean over pairs is zero. The q-values control the false-discovery rate over all rows of the table
(`stats.significance`).
"""

import logging
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.showing import Showing
from interp_emerge.stats.intervals import mean_intervals
from interp_emerge.stats.significance import false_discovery, sign_flip_p_values
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, TEST_COLUMNS, Table

By = Literal["score", "magnitude"] | str
"""How scores are ranked: by their value, or by their absolute value. Any other name is refused."""
log = logging.getLogger(__name__)
NODE_SCORES = Table(
    name="node_scores",
    row="the effect of one node in one model",
    key=("node", "size", "step", "seed", "ability", "method", "metric"),
    about={
        **MODEL_COLUMNS,
        **ABILITY_COLUMN,
        "method": "patching method",
        "metric": "metric in which the effect is measured",
    },
    filled={
        "node": "name of the writer",
        "layer": "layer of the node; -1 for the embedding",
        "kind": "embed, head or mlp",
        "index": "head within the layer; 0 otherwise",
        "score": "rise of the metric when the node's clean value is put into the corrupted run",
        **INTERVAL_COLUMNS,
        **TEST_COLUMNS,
        "share": "score as a fraction of the gap between clean and corrupted run; empty where the gap is within noise",
    },
)
EDGE_SCORES = Table(
    name="edge_scores",
    row="the effect of one edge in one model",
    about={**NODE_SCORES.about, "method": "edge scoring method"},
    filled={
        "writer": "name of the edge's writer",
        "reader": "name of the edge's reader",
        "score": "estimated rise of the metric when the edge takes its clean value; mean over prompt pairs",
        "standard_error": "standard error of the mean over prompt pairs",
        "ci_low": "lower end of the 95% interval over pairs or, without per-pair values, normal",
        "ci_high": "upper end of the 95% interval over pairs or, without per-pair values, normal",
        **TEST_COLUMNS,
    },
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeScores(Showing):
    """The effect of some nodes on each pair, in the metric's unit.

    `per_pair` has shape [pair, node]. Where the nodes were patched at one token position at a time, it has shape
    [pair, position, node], and `positions` names the positions. Without `nodes` they are the graph's writers.

    Example:
        >>> heads.to_frame().nlargest(3, "score")[["node", "score", "q_value"]]
        >>> heads.top(3)  # the circuit of all edges between the three strongest
    """

    FIGURE, ADDED = "head_effects", ("share",)
    graph: Graph
    per_pair: np.ndarray
    nodes: tuple[Node, ...] = ()
    positions: tuple[str, ...] | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", self.nodes or self.graph.writers)
        _require_shape("per_pair", self.per_pair.shape, self.positions, len(self.nodes), pairs=True)

    def __repr__(self) -> str:
        return f"NodeScores({_described(self.origin, len(self.nodes), 'nodes', self.positions)})"

    @property
    def scores(self) -> np.ndarray:
        """Mean over pairs, shape [node] or [position, node]."""
        return self.per_pair.mean(0)

    def to_frame(self) -> pd.DataFrame:
        """One row for each node, or for each node and position.

        Columns `node`, `position` (where positions are resolved), `score` with its 95% interval `ci_low`, `ci_high`,
        two-sided `p_value`, `q_value`, `layer`, `kind`, `index`.
        """
        values = self.per_pair.reshape(len(self.per_pair), -1)
        mean, low, high = _intervals(values)
        p_values = sign_flip_p_values(values)
        nodes = self.nodes * _n_places(self.positions)
        return pd.DataFrame(
            {
                "node": [self.graph.node_name(node) for node in nodes],
                **_position_column(self.positions, len(self.nodes)),
                "score": mean,
                "ci_low": low,
                "ci_high": high,
                "p_value": p_values,
                "q_value": false_discovery(p_values),
                "layer": [node.layer for node in nodes],
                "kind": [node.kind for node in nodes],
                "index": [node.index for node in nodes],
            }
        )

    @checked
    def top(self, n: int, *, by: By = "magnitude") -> Circuit:
        """The circuit of all edges between the `n` strongest writers, without edges on no path to the logits.

        The embedding is always included, whether it was scored or not.

        Raises:
            InputError: `n` is not between 1 and the number of scored writers, positions are resolved, or some scored
                node is not a writer.
        """
        _require_collapsed(self.positions, f"top({n})")
        names = [self.graph.node_name(node) for node in self.nodes]
        others = [name for name in names if name not in self.graph.writer_names]
        if others:
            raise InputError(
                f"top({n}): a circuit is chosen from scores of writers, and {others[0]} is not a writer; score the "
                "sites embed, head and mlp"
            )
        if not 1 <= n <= len(names):
            raise InputError(f"top({n}): {len(names)} writers were scored; ask for 1 to {len(names)}")
        kept = self.graph.between([names[index] for index in _rank(self.scores, by)[:n]])
        return Circuit(graph=self.graph, kept=kept, scores=np.zeros(kept.shape), origin=self.origin)


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeScores(Showing):
    """The effect of every edge, in the metric's unit: mean over pairs and its standard error.

    Both have shape [writer, reader], or [position, writer, reader] where `positions` names token positions. They are
    zero where the graph has no edge. `per_pair` has shape [pair, edge] or [pair, position, edge], edges in the order of
    `np.nonzero(graph.exists)`; it is None if the method did not keep the values of each pair.

    Example:
        >>> scores.to_frame().nlargest(3, "score")[["writer", "reader", "score", "q_value"]]
        >>> circuit = scores.top(12)
    """

    FIGURE = "circuit_graph"
    graph: Graph
    scores: np.ndarray
    standard_errors: np.ndarray
    per_pair: np.ndarray | None = None
    positions: tuple[str, ...] | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_shape("scores", self.scores.shape, self.positions, *self.graph.exists.shape)
        _require_shape("standard_errors", self.standard_errors.shape, self.positions, *self.graph.exists.shape)
        if self.per_pair is not None:
            _require_shape("per_pair", self.per_pair.shape, self.positions, self.graph.n_edges, pairs=True)

    def __repr__(self) -> str:
        return f"EdgeScores({_described(self.origin, self.graph.n_edges, 'edges', self.positions)})"

    @classmethod
    def from_pairs(
        cls,
        graph: Graph,
        per_pair: np.ndarray,
        *,
        positions: tuple[str, ...] | None = None,
        origin: dict[str, Any] | None = None,
    ) -> "EdgeScores":
        """Scores from the values of each pair, shape [pair, edge] or [pair, position, edge].

        The standard error is that of the mean over pairs, and 0 for a single pair. Values are kept in single precision.

        Raises:
            InputError: the shape does not fit the graph and positions, or there is no pair.
        """
        _require_shape("per_pair", per_pair.shape, positions, graph.n_edges, pairs=True)
        mean = per_pair.mean(0, dtype=np.float64)
        squares = np.zeros(mean.shape)
        for values in per_pair:
            squares += (values - mean) ** 2
        n = len(per_pair)
        at = (..., *np.nonzero(graph.exists))
        shape = (*mean.shape[:-1], *graph.exists.shape)
        scores, errors = np.zeros(shape), np.zeros(shape)
        scores[at], errors[at] = mean, np.sqrt(squares / max(1, n - 1) / n)
        return cls(
            graph=graph,
            scores=scores,
            standard_errors=errors,
            per_pair=per_pair.astype(np.float32, copy=False),
            positions=positions,
            origin=origin or {},
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each edge, or for each edge and position.

        Columns `writer`, `reader`, `position` (where positions are resolved), `score`, `standard_error`, `ci_low`,
        `ci_high`, two-sided `p_value`, `q_value`. Without `per_pair` the interval is score ± 1.96 standard errors, and
        the p-value is the normal limit of the sign-flip test. Both are empty where the standard error is 0 but the
        score is not: such a score is not a mean over pairs, or there is too little to estimate its spread. The p-value
        is empty also if `origin` does not give the number of pairs.
        """
        writers, readers = np.nonzero(self.graph.exists)
        scores = self.scores[..., writers, readers].ravel()
        errors = self.standard_errors[..., writers, readers].ravel()
        if self.per_pair is None:
            low, high, p_values = _normal_limit(scores, errors, self.origin.get("n_pairs"))
        else:
            values = self.per_pair.reshape(len(self.per_pair), -1)
            _, low, high = _intervals(values)
            p_values = sign_flip_p_values(values)
        places = _n_places(self.positions)
        return pd.DataFrame(
            {
                "writer": np.tile(np.array(self.graph.writer_names)[writers], places),
                "reader": np.tile(np.array(self.graph.reader_names)[readers], places),
                **_position_column(self.positions, self.graph.n_edges),
                "score": scores,
                "standard_error": np.where(self.origin.get("n_pairs") == 1, np.nan, errors),
                "ci_low": low,
                "ci_high": high,
                "p_value": p_values,
                "q_value": false_discovery(p_values),
            }
        )

    @classmethod
    def from_frame(cls, graph: Graph, frame: pd.DataFrame, *, origin: dict[str, Any] | None = None) -> "EdgeScores":
        """The scores of a table that `to_frame` made for this graph, without the values of each pair.

        Raises:
            InputError: the table lists other edges than the graph has, or edges by position.
        """
        if "position" in frame:
            raise InputError("collapse positions first: a table of edges by position cannot be read back")
        writers, readers = np.nonzero(graph.exists)
        names = np.array(graph.writer_names)[writers], np.array(graph.reader_names)[readers]
        if len(frame) != graph.n_edges or (frame["writer"] != names[0]).any() or (frame["reader"] != names[1]).any():
            raise InputError(f"the table lists {len(frame)} edges, not the {graph.n_edges} of this graph in its order")
        scores, errors = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape)
        scores[writers, readers] = frame["score"]
        errors[writers, readers] = frame["standard_error"]
        return cls(graph=graph, scores=scores, standard_errors=errors, origin=origin or {})

    def ranked(self, by: By = "magnitude") -> np.ndarray:
        """All edges from the strongest to the weakest, rows of (writer, reader); ties keep the graph's order.

        Raises:
            InputError: positions are resolved.
        """
        _require_collapsed(self.positions, "ranked()")
        at = np.argwhere(self.graph.exists)
        return at[_rank(self.scores[self.graph.exists], by)]

    @checked
    def top(self, n: int, *, by: By = "magnitude") -> Circuit:
        """The circuit of the `n` strongest edges, without those on no path from the embedding to the logits.

        Raises:
            InputError: `n` is not between 1 and the number of edges, or positions are resolved.
        """
        _require_collapsed(self.positions, f"top({n})")
        if not 1 <= n <= self.graph.n_edges:
            raise InputError(f"top({n}): the graph has {self.graph.n_edges} edges; ask for 1 to {self.graph.n_edges}")
        kept = np.zeros_like(self.graph.exists)
        kept[tuple(self.ranked(by)[:n].T)] = True
        return self._circuit(kept)

    def share(self, fraction: float, *, by: By = "magnitude") -> Circuit:
        """The circuit of this fraction of the graph's edges, the strongest ones and at least one, chosen as by `top`.

        Raises:
            InputError: the fraction is not above 0 and at most 1, or positions are resolved.
        """
        if not 0 < fraction <= 1:
            raise InputError(
                f"share({fraction:g}) is not a fraction of the graph's edges; ask for more than 0, at most 1"
            )
        return self.top(max(1, round(fraction * self.graph.n_edges)), by=by)

    @checked
    def above(self, threshold: float, *, by: By = "score") -> Circuit:
        """The circuit of all edges whose score or magnitude is at least the threshold, without dead ends.

        Raises:
            InputError: positions are resolved, or the threshold is not a number.
        """
        _require_collapsed(self.positions, f"above({threshold:g})")
        if np.isnan(threshold):
            raise InputError("above(nan) compares with nothing; give a threshold in the metric's unit")
        return self._circuit(self.graph.exists & (_strength(self.scores, by) >= threshold))

    def _circuit(self, kept: np.ndarray) -> Circuit:
        chosen, kept = int(kept.sum()), self.graph.prune(kept)
        if chosen and not kept.any():
            log.info("none of %d edges lies on a path from the embedding to the logits: the circuit is empty", chosen)
        return Circuit(graph=self.graph, kept=kept, scores=self.scores * kept, origin=self.origin)


def _intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of columns with the ends of their 95% intervals; the ends are NaN for a single pair."""
    mean, low, high = mean_intervals(values)
    unknown = np.full(len(mean), np.nan)
    return (mean, low, high) if len(values) > 1 else (mean, unknown, unknown)


def _normal_limit(
    mean: np.ndarray, error: np.ndarray, n_pairs: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the 95% interval and p-values from means and standard errors.

    With many pairs Σx / sqrt(Σx²) is standard normal under random signs, and Σx² = n · (n − 1) · error² + n · mean².
    """
    from scipy.special import ndtr

    known = (error > 0) | (mean == 0)
    half = np.where(known, 1.96 * error, np.nan)
    if n_pairs is None:
        return mean - half, mean + half, np.full(len(mean), np.nan)
    spread = np.sqrt((n_pairs - 1) * error**2 + mean**2)
    distance = np.sqrt(n_pairs) * np.abs(mean) / np.where(spread > 0, spread, 1)
    return mean - half, mean + half, np.where(known, 2 * ndtr(-distance), np.nan)


def _described(origin: dict[str, Any], count: int, what: str, positions: tuple[str, ...] | None) -> str:
    """One line: what was scored, with which method and metric, and on how many pairs, if the origin has these."""
    places = "" if positions is None else f" at {len(positions)} positions"
    known = [str(origin[key]) for key in ("method", "metric") if key in origin]
    pairs = [f"{origin['n_pairs']} pairs"] if "n_pairs" in origin else []
    return ", ".join([f"{count:,} {what}{places}", *known, *pairs])


def _n_places(positions: tuple[str, ...] | None) -> int:
    """The number of rows that a table has for each node or edge."""
    return 1 if positions is None else len(positions)


def _position_column(positions: tuple[str, ...] | None, n: int) -> dict[str, np.ndarray]:
    """The column of positions: `n` rows of the first position, then `n` rows of the next one."""
    return {} if positions is None else {"position": np.repeat(positions, n)}


def _require_shape(
    what: str, given: tuple[int, ...], positions: tuple[str, ...] | None, *wanted: int, pairs: bool = False
) -> None:
    """Raise an `InputError` if the shape of an array does not fit its graph, nodes and positions."""
    axes = wanted if positions is None else (len(positions), *wanted)
    if pairs and not (given and given[0]):
        raise InputError(f"{what} of shape {given} has no pair; score at least one")
    if given[pairs:] != axes:
        shape = ("pairs", *axes) if pairs else axes
        raise InputError(f"{what} has shape {given}, but its graph, nodes and positions need {shape}")


def _require_collapsed(positions: tuple[str, ...] | None, what: str) -> None:
    if positions is not None:
        raise InputError(
            f"{what}: collapse positions first: these are scores at {len(positions)} positions and a circuit has none; "
            "score again without positions"
        )


def _rank(scores: np.ndarray, by: str) -> np.ndarray:
    return np.argsort(-_strength(scores, by), kind="stable")


def _strength(scores: np.ndarray, by: str) -> np.ndarray:
    """The values by which scores are ranked.

    Raises:
        InputError: `by` is neither 'score' nor 'magnitude'.
    """
    if by not in ("score", "magnitude"):
        raise InputError(f"scores are ranked by 'score' or 'magnitude', not {by!r}")
    return np.abs(scores) if by == "magnitude" else scores
