"""Positions of a circuit's nodes and edges in its drawing: embedding at the bottom, layers above it, logits on top.

All coordinates are in pixels from the lower left corner of the drawing, x to the right and y up. The drawing is at most
`HIGHEST` pixels high, whatever the circuit: rows move together, and the weakest edges are left out (`_folding`). Heads
are placed within their row such that few edges cross (`_ordering`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from interp_emerge.core.errors import InputError
from interp_emerge.figures._folding import Folded, folded, folds
from interp_emerge.figures._ordering import ordered_places
from interp_emerge.figures._supernodes import Within, forms, grouped, supernodes

ROW, BOX_HEIGHT, WIDEST_BOX, PORT = 74, 26, 58, 12
COMPACT, LOWEST_ROW = 44, 24
"""If rows would be closer than the first, a layer becomes one row, its MLP half a row higher; at least the second."""
MARGIN, HIGHEST = 16, 820
GUTTER = 64
"""Width on the left for the folds: the nodes that are not drawn."""
HEADS = 0.86
"""Share of the width for heads, embedding and logits; the rest is for MLPs."""
POINTS = np.linspace(0.0, 1.0, 15)
"""Positions along an edge at which its curve is computed; 15 points look smooth at this row height."""
NODE = re.compile(r"^(?:a(?P<attention>\d+)\.(?P<head>h|kv)(?P<index>\d+)|m(?P<mlp>\d+)|embed|logits)$")
ROLES = ("q", "k", "v")
MOST_LAYERS = (HIGHEST - 2 * MARGIN - LOWEST_ROW // 2) // LOWEST_ROW - 1
"""Most layers that a drawing has: that many of 30-layer models and all of these."""
LISTED = 6
"""Most edges that a node's hover text lists in each direction."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """A circuit ready to be drawn: boxes for its nodes, curves for its edges, and the drawing's size in pixels."""

    nodes: pd.DataFrame
    edges: pd.DataFrame
    folds: pd.DataFrame
    note: str
    """How many edges are not drawn; empty if all are."""
    width: int
    height: int
    box: float
    """Height of a box."""
    supernodes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Boxes in which the heads of one role fold; if there are any, `edges` has every form of each edge."""


def lay_out(
    edges: pd.DataFrame,
    *,
    width: int,
    most: int = 120,
    labels: Mapping[str, str] | None = None,
    ordered: bool = True,
    within: Within | str | None = None,
) -> Layout:
    """Boxes and curves for a table of edges with columns writer, reader, score.

    Args:
        edges: the circuit's edges.
        width: width of the drawing.
        most: most edges that are drawn; the strongest are.
        labels: a second line below the names of some nodes, such as their roles.
        ordered: whether heads are placed such that few edges cross; otherwise they stand in columns by index.
        within: where heads of one label fold into a supernode: in each `layer`, or in the whole `graph`; by default
            none do.

    Raises:
        InputError: a node's name is not one that this package gives, or a score is infinite.
        UnknownNameError: `within` is another text.
    """
    edges = edges.copy()
    for edge in edges[np.isinf(edges["score"].astype(float))].to_dict("records"):
        raise InputError(
            f"the score of {edge['writer']} → {edge['reader']} is {edge['score']}, which has no width in a drawing; "
            "give finite scores, or leave that edge out"
        )
    reader = edges["reader"].str.rsplit(".", n=1, expand=True).reindex(columns=[0, 1])
    split = reader[1].isin(ROLES)
    edges["target"] = edges["reader"].where(~split, reader[0])
    edges["into"] = reader[1].where(split, edges["target"].where(edges["target"] == "logits", "mlp"))
    every = _places(edges)
    chosen = folded(edges, every.set_index("node")["layer"], most=most, layers=MOST_LAYERS)
    labels = {node: label for node, label in (labels or {}).items() if label}
    shown = every[every["node"].isin([*chosen.drawn["writer"], *chosen.drawn["target"]])].reset_index(drop=True)
    rows = _Rows(shown, two_lines=any(node in labels for node in shown["node"]))
    nodes = _boxes(shown, chosen, width, rows, ordered=ordered)
    nodes["label"] = nodes["node"].map(labels).astype(object).where(nodes["node"].isin(labels), None)
    nodes["group"] = None if within is None else grouped(nodes, within)
    drawn = _curves(chosen.drawn, nodes.set_index("node"), width, rows)
    nodes, folding = _totals(nodes, drawn), supernodes(nodes)
    if len(folding):
        every_form = forms(chosen.drawn, nodes.set_index("node")["group"])
        boxes = pd.concat([nodes, folding]).set_index("node")
        drawn = _curves(every_form, boxes, width, rows)
        once = drawn[drawn["writer_folded"] != drawn["target_folded"]]
        folding = _totals(folding, once)
    return Layout(
        nodes=nodes.drop(columns=[] if len(folding) else "group"),
        supernodes=folding,
        edges=drawn,
        folds=folds(every, nodes).assign(x=0.0),
        note=chosen.note,
        width=width,
        height=int(np.ceil(nodes["top"].max())) + MARGIN,
        box=rows.box,
    )


class _Rows:
    """The rows of a drawing: the level of each node, its height, and the height of a box."""

    def __init__(self, nodes: pd.DataFrame, *, two_lines: bool) -> None:
        room, self.level = HIGHEST - 2 * MARGIN - BOX_HEIGHT, _levels(nodes["rank"])
        steps = np.ones(int(self.level.max()))
        self.row = room / max(steps.sum(), 1)
        if self.row < COMPACT:
            shared = nodes["rank"].where(nodes["kind"] != "key-value head", nodes["rank"] + 1)
            self.level = _levels(shared)
            is_mlp = np.zeros(int(self.level.max()) + 1, bool)
            is_mlp[self.level[(nodes["kind"] == "mlp").to_numpy()]] = True
            steps = np.where(is_mlp[1:] != is_mlp[:-1], 0.5, 1.0)
            self.row = room / max(steps.sum(), 1)
        self.row, self.widest = min(self.row, ROW), WIDEST_BOX
        self.box: float = min(float(BOX_HEIGHT), self.row * (0.5 if steps.min(initial=1.0) < 1 else 0.68) - 0.5)
        if two_lines and self.row - BOX_HEIGHT > 22 and steps.min(initial=1.0) == 1:
            self.box, self.widest = BOX_HEIGHT + 10.0, 84
        below = np.concatenate([[0.0], np.cumsum(steps)]) * self.row
        self.y = MARGIN + self.box / 2 + below[self.level]


def _levels(ranks: pd.Series) -> np.ndarray:
    return ranks.map({rank: level for level, rank in enumerate(sorted(ranks.unique()))}).to_numpy(dtype=np.intp)


def _places(edges: pd.DataFrame) -> pd.DataFrame:
    """One row for each node of the circuit, from the bottom: its kind, layer, index and rank."""
    names = pd.concat([edges["writer"], edges["target"]]).unique().tolist()
    return pd.DataFrame([_place(name) for name in names]).sort_values(["rank", "index"], ignore_index=True)


def _boxes(nodes: pd.DataFrame, chosen: Folded, width: int, rows: _Rows, *, ordered: bool) -> pd.DataFrame:
    """The nodes with their boxes: heads in rows, MLPs in one column on the right.

    Only the layers that the circuit uses have rows.
    """
    heads = nodes["kind"].isin(["head", "key-value head"]).to_numpy()
    start, span = (GUTTER, HEADS * width - GUTTER) if len(chosen.left_out) else (0.0, HEADS * width)
    slots = {index: slot for slot, index in enumerate(sorted(nodes.loc[heads, "index"].unique()))}
    across = slots if not ordered else range(int(np.bincount(rows.level[heads]).max()) if heads.any() else 1)
    gap = min(span / max(len(across), 1), 130)
    middle = start + span / 2
    aside = (nodes["index"].map(slots).fillna(0) - (len(slots) - 1) / 2) * min(span / max(len(slots), 1), 130)
    mlp = (nodes["kind"] == "mlp").to_numpy()
    x = np.where(heads, middle + aside, np.where(mlp, width - MARGIN - rows.widest / 2, middle)).astype(float)
    if ordered and heads.any():
        number = {name: place for place, name in enumerate(nodes["node"])}
        ends = chosen.drawn[["writer", "target"]].map(number.__getitem__).to_numpy(dtype=np.intp)
        x = start + ordered_places(
            x - start, rows.level, heads, ends, gap=float(min(gap, rows.widest + 18)), span=float(span)
        )
    half = np.where(heads, min(rows.widest, gap - 5) / 2, rows.widest / 2)
    boxes = {"left": x - half, "right": x + half, "bottom": rows.y - rows.box / 2, "top": rows.y + rows.box / 2}
    return nodes.assign(name=nodes["node"], x=x, y=rows.y, **boxes)


def _place(name: str) -> dict[str, object]:
    """A node's kind, layer and height: key-value heads are below their layer's heads, its MLP is above them."""
    match = NODE.match(name)
    if match is None:
        raise InputError(f"cannot read {name!r} as a node; nodes are embed, a3.h1, a3.kv0, m3, logits, readers a3.h1.q")
    if match["attention"]:
        layer, shared = int(match["attention"]), match["head"] == "kv"
        kind, rank = ("key-value head", 3 * layer) if shared else ("head", 3 * layer + 1)
        return {"node": name, "kind": kind, "layer": layer, "index": int(match["index"]), "rank": rank}
    if match["mlp"]:
        return {"node": name, "kind": "mlp", "layer": int(match["mlp"]), "index": 0, "rank": 3 * int(match["mlp"]) + 2}
    return {"node": name, "kind": name, "layer": None, "index": 0, "rank": -1 if name == "embed" else np.inf}


def _curves(edges: pd.DataFrame, boxes: pd.DataFrame, width: int, rows: _Rows) -> pd.DataFrame:
    """The edges with the points of their curves: from the top of the writer to the reader's port on the bottom.

    A head's queries enter on the left, its keys in the middle, its values on the right. An edge that passes other rows
    bends sideways, to avoid the boxes in these rows.
    """
    writer, target = boxes.loc[edges["writer"]], boxes.loc[edges["target"]]
    reach = (target["right"] - target["left"]).to_numpy() / 2 - 5
    port = edges["into"].map({"q": -1, "k": 0, "v": 1}).fillna(0).to_numpy() * np.minimum(PORT, reach)
    x0, y0 = writer["x"].to_numpy(), writer["top"].to_numpy()
    x1, y1 = target["x"].to_numpy() + port, target["bottom"].to_numpy()
    rise = y1 - y0
    passed = np.round((rise + rows.box) / rows.row) - 1
    outward = np.where((x0 + x1) / 2 >= HEADS * width / 2, 1.0, -1.0)
    swing = outward * np.minimum(passed * 16, 60) * rows.row / ROW
    t = POINTS[None, :]
    first, second, third, fourth = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    near, far = x0 + swing, x1 + swing
    x = first * x0[:, None] + second * near[:, None] + third * far[:, None] + fourth * x1[:, None]
    lift = (y0 + 0.45 * rise)[:, None], (y1 - 0.45 * rise)[:, None]
    y = first * y0[:, None] + second * lift[0] + third * lift[1] + fourth * y1[:, None]
    return edges.assign(xs=np.round(x, 1).tolist(), ys=np.round(y, 1).tolist())


def _totals(nodes: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """The nodes with the number, the summed score and the strongest of their incoming and outgoing edges."""
    read, written = edges.groupby("target")["score"], edges.groupby("writer")["score"]
    return nodes.assign(
        edges_in=nodes["node"].map(read.size()).fillna(0).astype(int),
        score_in=nodes["node"].map(read.sum(min_count=1)),
        strongest_in=nodes["node"].map(_strongest(edges, "target", "writer")),
        edges_out=nodes["node"].map(written.size()).fillna(0).astype(int),
        score_out=nodes["node"].map(written.sum(min_count=1)),
        strongest_out=nodes["node"].map(_strongest(edges, "writer", "reader")),
    )


def _strongest(edges: pd.DataFrame, of: str, other: str) -> dict[str, str]:
    """The strongest edges of each node by magnitude, as text: the name at the other end and the score."""
    ranked = edges.iloc[np.argsort(-edges["score"].abs().to_numpy(), kind="stable")]
    found: dict[str, list[str]] = {}
    for node, name, score in zip(ranked[of], ranked[other], ranked["score"], strict=True):
        found.setdefault(node, []).append(f"{name} {score:+.2g}")
    return {node: ", ".join(all_of[:LISTED]) + (" …" if len(all_of) > LISTED else "") for node, all_of in found.items()}
