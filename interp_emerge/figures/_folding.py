"""Which edges of a circuit are drawn, and where the nodes are that are then left out.

Edges are drawn from the strongest downward, until there are as many as asked for or their nodes fill as many layers
as fit on a screen. What is left out is counted: the edges below the threshold as a number, the nodes without a drawn
edge as one fold for each run of layers.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

LISTED = 12
"""Most names of nodes that a fold's hover text lists."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A circuit's edges, divided into those that are drawn and those that are not."""

    drawn: pd.DataFrame
    left_out: pd.DataFrame
    threshold: float
    """The smallest magnitude of a drawn edge's score."""

    @property
    def note(self) -> str:
        """How many edges are not drawn, and how strong they are together; empty if all are drawn."""
        if self.left_out.empty:
            return ""
        weak, all_of = (float(edges["score"].abs().sum()) for edges in (self.left_out, self.all_edges))
        share = f", {weak / all_of:.0%} of the sum of all |scores|" if all_of > 0 else ""
        if float(self.left_out["score"].abs().max()) >= self.threshold:
            return f"{len(self.left_out):,} of {len(self.all_edges):,} edges are not drawn, though others as strong are"
        return (
            f"{len(self.left_out):,} of {len(self.all_edges):,} edges below the threshold of {self.threshold:.2g} are "
            f"not drawn{share}"
        )

    @property
    def all_edges(self) -> pd.DataFrame:
        return pd.concat([self.drawn, self.left_out])


def folded(edges: pd.DataFrame, layer_of: pd.Series, *, most: int, layers: int) -> Folded:
    """The strongest edges, at most `most` of them and with nodes in at most so many layers.

    Edges whose scores have the same magnitude are drawn all or none, unless that would leave nothing to draw.

    Args:
        edges: columns writer, target, score; an undefined score counts as the weakest.
        layer_of: the layer of each node, by its name; undefined for the embedding and the logits.
        most: most edges to draw.
        layers: most layers.
    """
    strength = edges["score"].abs().fillna(0.0)
    order = np.argsort(-strength.to_numpy(), kind="stable")
    used: set[float] = set()
    kept = 0
    for at in order[:most]:
        ends = layer_of[edges["writer"].iloc[at]], layer_of[edges["target"].iloc[at]]
        more = used | {layer for layer in ends if pd.notna(layer)}
        if len(more) > layers:
            break
        used, kept = more, kept + 1
    if 0 < kept < len(order):
        levels = strength.to_numpy()[order]
        untied = int((levels > levels[kept]).sum())
        kept = min(untied or kept, kept)
    chosen = np.zeros(len(edges), bool)
    chosen[order[:kept]] = True
    drawn = edges[chosen].reset_index(drop=True)
    least = float(drawn["score"].abs().min()) if kept else 0.0
    return Folded(drawn=drawn, left_out=edges[~chosen].reset_index(drop=True), threshold=least)


def folds(nodes: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """One row for each run of layers with nodes that are not drawn: columns `label`, `nodes`, `y`.

    Args:
        nodes: all nodes of the circuit: columns node, layer.
        drawn: those that are drawn, with their place `y`.
    """
    hidden = nodes[~nodes["node"].isin(drawn["node"]) & nodes["layer"].notna()].sort_values("layer", kind="stable")
    rows = drawn.dropna(subset=["layer"]).groupby("layer")["y"].mean()
    runs: dict[tuple[float, float], list[int]] = {}
    for at, layer in enumerate(hidden["layer"]):
        runs.setdefault(_between(rows, layer, float(drawn["y"].max())), []).append(at)
    return pd.DataFrame(
        [_fold(hidden.iloc[run], sum(between) / 2) for between, run in runs.items()],
        columns=pd.Index(["label", "where", "nodes", "y"]),
    )


def _fold(hidden: pd.DataFrame, y: float) -> dict[str, object]:
    first, last = int(hidden["layer"].min()), int(hidden["layer"].max())
    where = f"layer {first}" if first == last else f"layers {first}–{last}"
    names = ", ".join(hidden["node"][:LISTED]) + (" …" if len(hidden) > LISTED else "")
    return {"label": f"+{len(hidden)}", "where": where, "nodes": names, "y": y}


def _between(rows: pd.Series, layer: float, highest: float) -> tuple[float, float]:
    """The heights between which a layer is: twice its own if the drawing has it, else those of its neighbours."""
    if layer in rows.index:
        return float(rows[layer]), float(rows[layer])
    lower, upper = rows[rows.index < layer], rows[rows.index > layer]
    return float(lower.max()) if len(lower) else 0.0, float(upper.min()) if len(upper) else highest
