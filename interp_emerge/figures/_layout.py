"""Positions of a circuit's nodes and edges in its drawing: embedding at the bottom, layers above it, logits on top.

All coordinates are in pixels from the lower left corner of the drawing, x to the right and y up.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.core.errors import InputError

ROW, BOX_HEIGHT, WIDEST_BOX, PORT = 74, 26, 58, 12
MARGIN = 16
HEADS = 0.86
"""Share of the width for heads, embedding and logits; the rest is for MLPs."""
POINTS = np.linspace(0.0, 1.0, 15)
"""Positions along an edge at which its curve is computed; 15 points look smooth at this row height."""
NODE = re.compile(r"^(?:a(?P<attention>\d+)\.(?P<head>h|kv)(?P<index>\d+)|m(?P<mlp>\d+)|embed|logits)$")
ROLES = ("q", "k", "v")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """A circuit ready to be drawn: boxes for its nodes, curves for its edges, and the drawing's size in pixels."""

    nodes: pd.DataFrame
    edges: pd.DataFrame
    width: int
    height: int


def lay_out(edges: pd.DataFrame, *, width: int) -> Layout:
    """Boxes and curves for a table of edges with columns writer, reader, score.

    Raises:
        InputError: a node's name is not one that this package gives.
    """
    edges = edges.copy()
    reader = edges["reader"].str.rsplit(".", n=1, expand=True).reindex(columns=[0, 1])
    split = reader[1].isin(ROLES)
    edges["target"] = edges["reader"].where(~split, reader[0])
    edges["into"] = reader[1].where(split, edges["target"].where(edges["target"] == "logits", "mlp"))
    nodes = _boxes(pd.concat([edges["writer"], edges["target"]]).unique().tolist(), width)
    edges = _curves(edges, nodes.set_index("node"), width)
    return Layout(nodes=_totals(nodes, edges), edges=edges, width=width, height=int(nodes["top"].max()) + MARGIN)


def _boxes(names: list[str], width: int) -> pd.DataFrame:
    """One row for each node with its box: heads in columns by their index, MLPs in one column on the right.

    Only the layers and head indices that the circuit uses are drawn.
    """
    nodes = pd.DataFrame([_place(name) for name in names]).sort_values(["rank", "index"], ignore_index=True)
    levels = {rank: level for level, rank in enumerate(sorted(nodes["rank"].unique()))}
    heads = nodes["kind"].isin(["head", "key-value head"]).to_numpy()
    slots = {index: slot for slot, index in enumerate(sorted(nodes.loc[heads, "index"].unique()))}
    middle, gap = HEADS * width / 2, min(HEADS * width / max(len(slots), 1), 130)
    aside = (nodes["index"].map(slots).fillna(0) - (len(slots) - 1) / 2) * gap
    x = np.where(heads, middle + aside, np.where(nodes["kind"] == "mlp", width - MARGIN - WIDEST_BOX / 2, middle))
    y = MARGIN + BOX_HEIGHT / 2 + nodes["rank"].map(levels) * ROW
    half = np.where(heads, min(WIDEST_BOX, gap - 5) / 2, WIDEST_BOX / 2)
    boxes = {"left": x - half, "right": x + half, "bottom": y - BOX_HEIGHT / 2, "top": y + BOX_HEIGHT / 2}
    return nodes.assign(x=x, y=y, **boxes)


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


def _curves(edges: pd.DataFrame, boxes: pd.DataFrame, width: int) -> pd.DataFrame:
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
    passed = np.round((rise + BOX_HEIGHT) / ROW) - 1
    outward = np.where((x0 + x1) / 2 >= HEADS * width / 2, 1.0, -1.0)
    swing = outward * np.minimum(passed * 34, 110)
    t = POINTS[None, :]
    first, second, third, fourth = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    near, far = x0 + swing, x1 + swing
    x = first * x0[:, None] + second * near[:, None] + third * far[:, None] + fourth * x1[:, None]
    lift = (y0 + 0.45 * rise)[:, None], (y1 - 0.45 * rise)[:, None]
    y = first * y0[:, None] + second * lift[0] + third * lift[1] + fourth * y1[:, None]
    return edges.assign(xs=np.round(x, 1).tolist(), ys=np.round(y, 1).tolist())


def _totals(nodes: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """The nodes with the number and the summed score of their incoming and outgoing edges."""
    read, written = edges.groupby("target")["score"], edges.groupby("writer")["score"]
    return nodes.assign(
        edges_in=nodes["node"].map(read.size()).fillna(0).astype(int),
        score_in=nodes["node"].map(read.sum(min_count=1)),
        edges_out=nodes["node"].map(written.size()).fillna(0).astype(int),
        score_out=nodes["node"].map(written.sum(min_count=1)),
    )
