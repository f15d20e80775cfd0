"""Which head of one model does what a head of another does.

Heads of two models share no names. Training decides at random which head gets which role, and models of two sizes have
different numbers of heads. What a head does can be compared nevertheless.

1. `head_features` describes every head by its role scores above the baseline of untrained models, its layer's depth as
   a fraction of all layers, and the kinds of nodes that it reads from and writes to, as shares of its score mass.
2. `match_heads` gives every pair of heads, one of each model, a cost: the weighted mean of three distances in [0, 1]:
   the largest difference in the strength of a role, the difference in depth, and the mean total variation distance of
   the shares read and written. The cheapest assignment is exact (Kuhn, 1955, https://doi.org/10.1002/nav.3800020109, as
   in `scipy.optimize`). A pair above the cost `most` stays unmatched, as if each head had a partner at that cost.
3. `_margins` shows whether the data determine the match, or whether several matches are about as good. For each pair it
   computes how much the total cost rises in the best match without that pair, over all other matches, exactly. A change
   from one match to another consists of chains and cycles of heads that take each other's partners, so this is a
   shortest cycle (Floyd, 1962, https://doi.org/10.1145/367766.368168). Copies of one head have a margin of 0.
4. `Match.edges` carries edges through the match, MLPs by depth. `emergence.sameness.similarity.overlap_by_match` and
   `emergence.sameness.same_circuit` use it to count what two circuits share.

Cost: no model is run except for role scores. `_margins` takes n³ steps for n matched heads, 11 seconds for 1440.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from interp_emerge.circuits.roles import shelf as roles_shelf
from interp_emerge.circuits.roles.table import ROLES, role_table
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.patching.base import EdgeScores

NO_ROLE = "no role"
"""Label of a head that is not called by any role."""
LABELLED = 0.25
"""Least strength for a head to be called by a role."""
UNBOUNDED = ("nats", "unit of the metric")
"""Units of roles without a largest value. Their strength is relative to the strongest head of the model."""
MOST_COST, LEAST_MARGIN = 0.25, 0.02
"""Largest cost of a pair, and smallest margin of an identifiable pair; measured in docs/calibration.md."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadFeatures(Record):
    """What every head of a model does.

    `strength`, shape [head, role], is 0 for a head that does not clear the baseline. For other heads it is the distance
    above the baseline, as a fraction of the distance from the baseline to 1 or to the model's strongest head. `mass`,
    shape [writer, reader], holds magnitudes of edge scores, or None. Heads are ordered by layer.
    """

    graph: Graph
    roles: tuple[str, ...]
    strength: np.ndarray
    mass: np.ndarray | None = None

    def __post_init__(self) -> None:
        wanted = (len(self.heads), len(self.roles))
        if self.strength.shape != wanted or (self.mass is not None and self.mass.shape != self.graph.exists.shape):
            raise InputError(f"features of this graph need strengths of shape {wanted} and a mass of shape "
                             f"{self.graph.exists.shape}, not {self.strength.shape}")  # fmt: skip

    @cached_property
    def heads(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.graph.nodes(["head"]))

    @cached_property
    def depth(self) -> np.ndarray:
        """Depth of the middle of each head's layer, as a fraction of all layers, shape [head]."""
        return np.array([(node.layer + 0.5) / self.graph.n_layers for node in self.graph.nodes(["head"])])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The label of each head: its strongest role. Roles with a largest value come before those without one."""
        bounded = np.array([roles_shelf[role].unit not in UNBOUNDED for role in self.roles], dtype=bool)
        ranked = self.strength + 2.0 * bounded
        held = np.where(self.strength >= LABELLED, ranked, 0.0)
        names = np.array([*self.roles, NO_ROLE])
        best = held.argmax(1) if len(self.roles) else np.zeros(len(self.heads), dtype=int)
        return tuple(names[np.where(held.any(1), best, len(self.roles))].tolist())

    @cached_property
    def writer_classes(self) -> tuple[str, ...]:
        """The class of each writer: `embed`, `mlp` or the head's label."""
        label = dict(zip(self.heads, self.labels, strict=True))
        return tuple(label.get(node.name, node.kind) for node in self.graph.writers)

    @cached_property
    def reader_classes(self) -> tuple[str, ...]:
        """The class of each reader: `mlp`, `logits`, or a label with Q, K or V (a shared key has its first head's)."""
        found = []
        for reader, feeds in zip(self.graph.readers, self.graph.owner, strict=True):
            fed = [self.writer_classes[index] for index in feeds.nonzero()[0]]
            label = next((name for name in fed if name != NO_ROLE), NO_ROLE)
            found.append(f"{label} {reader.kind.upper()}" if reader.kind in ("q", "k", "v") else str(reader.kind))
        return tuple(found)

    def with_roles(self, roles: Sequence[str]) -> "HeadFeatures":
        """The same features for some of the roles."""
        return replace(self, roles=tuple(roles), strength=self.strength[:, [self.roles.index(role) for role in roles]])

    def connections(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of each head's mass by the classes that it reads and writes, shape [head, class] each.

        What the query, key and value read is counted separately. Rows sum to 1, or to 0 for a head without mass.
        """
        mass = np.zeros(self.graph.exists.shape) if self.mass is None else self.mass
        is_head = np.array([node.kind == "head" for node in self.graph.writers])
        sources, targets = (["embed", "mlp", NO_ROLE, *self.roles], ["logits", "mlp"])
        targets += [f"{label} {kind}" for label in (NO_ROLE, *self.roles) for kind in "QKV"]
        written = mass[is_head] @ _indicator(self.reader_classes, targets)
        by_source = mass.T @ _indicator(self.writer_classes, sources)
        kinds = np.array([reader.kind for reader in self.graph.readers])
        owner = self.graph.owner[:, is_head]
        read = np.concatenate([(owner * (kinds == kind)[:, None]).T @ by_source for kind in ("q", "k", "v")], axis=1)
        return _shares(read), _shares(written)


@dataclass(frozen=True, kw_only=True, eq=False)
class Match(Record):
    """Heads of one model with their partners in another.

    `partner` is the index of each head's partner, or -1, shape [head of a]. `margins` is how much the total cost rises
    in the best match without that pair, NaN for a head without a partner, shape [head of a]. `rival` names the head's
    partner in that next-best match, empty if it has none there.
    """

    a: HeadFeatures
    b: HeadFeatures
    cost: np.ndarray
    partner: np.ndarray
    margins: np.ndarray
    rival: tuple[str, ...]
    least_margin: float = LEAST_MARGIN
    most: float = MOST_COST

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names of matched heads."""
        return [(self.a.heads[row], self.b.heads[self.partner[row]]) for row in np.flatnonzero(self.partner >= 0)]

    @property
    def unmatched_a(self) -> list[str]:
        return [self.a.heads[row] for row in np.flatnonzero(self.partner < 0)]

    @property
    def unmatched_b(self) -> list[str]:
        return [head for index, head in enumerate(self.b.heads) if index not in self.partner]

    @property
    def margin(self) -> float:
        """The smallest margin of a pair; NaN without pairs."""
        return float(np.nanmin(self.margins)) if (self.partner >= 0).any() else np.nan

    @property
    def identifiable(self) -> bool:
        """Whether no other match costs about the same."""
        return not self.ambiguous

    @property
    def ambiguous(self) -> list[tuple[str, str]]:
        """Pairs that are not identifiable: a match without such a pair costs about the same."""
        named = dict(zip(self.a.heads, self.margins, strict=True))
        return [pair for pair in self.pairs if named[pair[0]] < self.least_margin]

    def without(self, pair: tuple[str, str]) -> "Match":
        """The cheapest match without a pair; the margins remain those of this match."""
        row, cost = self.a.heads.index(pair[0]), self.cost.copy()
        cost[row, self.partner[row]] = np.inf
        return replace(self, partner=_assign(cost, self.most))

    def __repr__(self) -> str:
        unsure = "" if self.identifiable else f", {len(self.ambiguous)} not identifiable"
        return f"Match({len(self.pairs)} of {len(self.a.heads)} and {len(self.b.heads)} heads{unsure})"

    def to_frame(self) -> pd.DataFrame:
        """One row for each pair and for each head without a partner.

        Columns `a`, `b` (empty without a partner), `role_a`, `role_b`, `cost`, `margin` (both without unit, 0 to 1),
        `identifiable` and `rival`, the partner of a in the next-best match.
        """
        labels = dict(zip(self.b.heads, self.b.labels, strict=True))
        rows = []
        for row, head in enumerate(self.a.heads):
            at, margin = int(self.partner[row]), self.margins[row]
            other, cost = (self.b.heads[at], self.cost[row, at]) if at >= 0 else ("", np.nan)
            sure = bool(margin >= self.least_margin) if at >= 0 else None
            rows.append((head, other, self.a.labels[row], labels.get(other, ""), cost, margin, sure, self.rival[row]))
        rows += [("", head, "", labels[head], np.nan, np.nan, None, "") for head in self.unmatched_b]
        columns = ["a", "b", "role_a", "role_b", "cost", "margin", "identifiable", "rival"]
        return pd.DataFrame(rows, columns=pd.Index(columns)).astype({"identifiable": "boolean"})

    @cached_property
    def writers(self) -> np.ndarray:
        """Index of the writer of b for each writer of a, -1 for none, shape [writer of a]."""
        theirs = {name: index for index, name in enumerate(self.b.graph.writer_names)}
        named = dict(self.pairs) | {"embed": "embed"}
        few, many = sorted((self.a.graph.n_layers, self.b.graph.n_layers))
        for layer in range(few):
            deeper = int((layer + 0.5) * many / few)
            mine, other = (layer, deeper) if self.a.graph.n_layers == few else (deeper, layer)
            named[f"m{mine}"] = f"m{other}"
        return np.array([theirs.get(named.get(name, ""), -1) for name in self.a.graph.writer_names])

    @cached_property
    def readers(self) -> np.ndarray:
        """Index of the reader of b for each reader of a, -1 for none, shape [reader of a].

        A key or value that heads share has a partner if their partners share one, too, and no other group leads to it.
        """
        mine, theirs = self.a.graph, self.b.graph
        of_kind = np.array([reader.kind for reader in theirs.readers])
        found = np.full(len(mine.readers), -1)
        for row, reader in enumerate(mine.readers):
            if reader.kind == "logits":
                found[row] = len(theirs.readers) - 1
                continue
            images = self.writers[mine.owner[row].nonzero()[0]]
            at = np.flatnonzero(theirs.owner[:, images[images >= 0]].any(1) & (of_kind == reader.kind))
            found[row] = at[0] if len(at) == 1 else -1
        reached, times = np.unique(found[found >= 0], return_counts=True)
        return np.where(np.isin(found, reached[times > 1]), -1, found)

    @cached_property
    def edges(self) -> np.ndarray:
        """Index of the edge of b for each edge of a, in the order of `np.nonzero(graph.exists)`; -1 for none."""
        number = np.full(self.b.graph.exists.shape, -1)
        number[self.b.graph.exists] = np.arange(self.b.graph.n_edges)
        writers, readers = (side[at] for side, at in zip(
            (self.writers, self.readers), np.nonzero(self.a.graph.exists), strict=True))  # fmt: skip
        return np.where((writers >= 0) & (readers >= 0), number[writers, readers], -1)


@checked
def head_features(
    model: HookedModel,
    scores: EdgeScores | Circuit | None = None,
    *,
    roles: Sequence[str] = ROLES,
    table: pd.DataFrame | None = None,
    seed: int = 0,
) -> HeadFeatures:
    """What every head of a model does.

    Args:
        model: whose heads to describe.
        scores: scores of all edges, or a circuit, for the score mass; without them only roles and depth are compared.
        roles: names of roles that need no prompt pairs; those undefined for this model are left out.
        table: the result of `role_table` for this model; measured here if left out.
        seed: see `role_table`.
    """
    table = role_table(model, roles=roles, seed=seed) if table is None else table[table["role"].isin(roles)]
    return features_from(model.graph, table, scores)


def features_from(graph: Graph, table: pd.DataFrame, scores: EdgeScores | Circuit | None = None) -> HeadFeatures:
    """The same from a table of roles (`node`, `role`, `score`, `baseline`, `clears_baseline`), without a model.

    Raises:
        InputError: the table lacks a head of the graph, or the scores belong to another graph.
    """
    if scores is not None and scores.graph != graph:
        raise InputError("the scores belong to a graph of another shape than the heads; give scores of this model")
    heads = [node.name for node in graph.nodes(["head"])]
    defined = table.dropna(subset=["score", "baseline"])
    names = [role for role in table["role"].unique() if role in set(defined["role"])]
    columns = []
    for role in names:
        rows = table[table["role"] == role].set_index("node")
        if set(rows.index) != set(heads):
            raise InputError(f"the table lists {len(rows)} heads for role {role!r}, the graph has {len(heads)}; give "
                             "the result of role_table for this model")  # fmt: skip
        rows = rows.loc[heads]
        above = (rows["score"] - rows["baseline"]).fillna(0).to_numpy(dtype=float)
        clears = rows["clears_baseline"].fillna(value=False).to_numpy(dtype=bool)
        above = np.where(clears, above, 0).clip(0)
        way = above.max() if roles_shelf[str(role)].unit in UNBOUNDED else 1 - float(rows["baseline"].iloc[0])
        columns.append(np.clip(above / way, 0, 1) if way > 0 else np.zeros(len(heads)))
    strength = np.stack(columns, 1) if columns else np.zeros((len(heads), 0))
    mass = None if scores is None else np.abs(scores.scores)
    if isinstance(scores, Circuit):
        mass = np.abs(scores.scores * scores.kept) if scores.scores.any() else scores.kept.astype(float)
    return HeadFeatures(graph=graph, roles=tuple(map(str, names)), strength=strength, mass=mass)


@checked
def match_heads(
    a: HeadFeatures,
    b: HeadFeatures,
    *,
    most: float = MOST_COST,
    weights: tuple[float, float, float] = (0.5, 0.25, 0.25),
    least_margin: float = LEAST_MARGIN,
) -> Match:
    """Each head of a with the head of b that does the same, if there is one.

    Args:
        a: heads of a model.
        b: heads of another model, with at least one role in common.
        most: cost above which a head stays unmatched.
        weights: of roles, depth and connections in the cost. Connections count only if both models have score mass.
        least_margin: rise of the total cost below which another match counts as about as good.

    Raises:
        InputError: weights that are negative or all zero, a cost outside (0, 1], or no role in common.
    """
    if min(weights) < 0 or not sum(weights) > 0:
        raise InputError(
            f"weights={weights} compare nothing; give three weights that are not negative, at least one above 0"
        )
    if not 0 < most <= 1:
        raise InputError(f"most={most:g} is not a possible cost of a pair; give more than 0 and at most 1")
    common = [role for role in a.roles if role in b.roles]
    if weights[0] and not common:
        raise InputError(f"the models have no role in common: {', '.join(a.roles) or 'none'} and "
                         f"{', '.join(b.roles) or 'none'}; measure the same roles in both")  # fmt: skip
    a, b = a.with_roles(common), b.with_roles(common)
    by_depth = np.abs(a.depth[:, None] - b.depth[None])
    by_role = np.zeros(by_depth.shape)
    for mine, theirs in zip(a.strength.T, b.strength.T, strict=True):
        np.maximum(by_role, np.abs(mine[:, None] - theirs[None]), out=by_role)
    weigh = np.array(weights) * [1, 1, a.mass is not None and b.mass is not None]
    by_connection = _variation(a.connections(), b.connections()) if weigh[2] else np.zeros(by_depth.shape)
    cost = np.tensordot(weigh / weigh.sum(), np.stack([by_role, by_depth, by_connection]), 1)
    partner = _assign(cost, most)
    margins, rival = _margins(cost, partner, most)
    named = tuple("" if at < 0 else b.heads[at] for at in rival)
    limits = {"least_margin": least_margin, "most": most}
    return Match(a=a, b=b, cost=cost, partner=partner, margins=margins, rival=named, **limits)


def _assign(cost: np.ndarray, most: float) -> np.ndarray:
    """The partner of each row in the cheapest assignment, -1 where a pair would cost more than `most`."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.minimum(cost, most))
    partner = np.full(len(cost), -1)
    cheap = cost[rows, columns] <= most
    partner[rows[cheap]] = columns[cheap]
    return partner


def _margins(cost: np.ndarray, partner: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """How much more the best match without each pair costs, and the column that its row then has, -1 for none.

    Nodes of the residual graph are the matched rows, and one more node for everything that is unmatched. On a step from
    i to k row i gives up its column and takes the column of k. The last row of a cycle takes the column of the first.
    """
    rows, n = np.flatnonzero(partner >= 0), int((partner >= 0).sum())
    own = cost[rows, partner[rows]]
    free_columns = np.setdiff1d(np.arange(cost.shape[1]), partner)
    free_rows = np.flatnonzero(partner < 0)
    step = np.zeros((n + 1, n + 1))
    step[:n, :n] = cost[np.ix_(rows, partner[rows])] - own[:, None]
    to_free = cost[np.ix_(rows, free_columns)]
    step[:n, n] = np.minimum(to_free.min(1, initial=np.inf), most) - own
    step[n, :n] = np.minimum(cost[np.ix_(free_rows, partner[rows])].min(0, initial=np.inf) - most, 0)
    np.fill_diagonal(step, np.inf)
    distance = step.copy()
    for middle in range(n + 1):
        np.minimum(distance, distance[:, middle, None] + distance[None, middle], out=distance)
    around = step[:n] + distance[:, :n].T
    best = around.argmin(1)
    margins, rival = np.full(len(cost), np.nan), np.full(len(cost), -1)
    # By rounding the cheapest assignment can seem to cost 1e-16 more than one that ties with it.
    margins[rows] = np.maximum(around[np.arange(n), best], 0)
    taken = np.where(best < n, partner[rows][np.minimum(best, n - 1)], -1)
    if len(free_columns) and n:
        instead = free_columns[to_free.argmin(1)]
        taken = np.where((best == n) & (to_free.min(1) <= most), instead, taken)
    rival[rows] = taken
    return margins, rival


def _indicator(classes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    return np.array([[name == own for name in names] for own in classes], dtype=float)


def _shares(mass: np.ndarray) -> np.ndarray:
    total = mass.sum(1, keepdims=True)
    return np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)


def _variation(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> np.ndarray:
    """Mean total variation distance of shares read and written, shape [head of a, head of b]; 1 if one has none."""
    found = np.zeros((len(a[0]), len(b[0])))
    for mine, theirs in zip(a, b, strict=True):
        more, less = np.zeros_like(found), np.zeros_like(found)
        for p, q in zip(mine.T, theirs.T, strict=True):
            gap = p[:, None] - q[None]
            more += gap.clip(0)
            less += (-gap).clip(0)
        found += np.maximum(more, less) / len(a)
    return found
