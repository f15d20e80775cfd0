"""Supernodes: heads of one role drawn as one node, and the edges that it then has.

An edge between two heads that may both be folded has four forms: from each head or its supernode, to each head or its
supernode. All forms are computed; the figure shows those that suit what is folded at the moment.
"""

from typing import Literal

import pandas as pd

from interp_emerge.core.errors import UnknownNameError

Within = Literal["layer", "graph"]
WITHIN = ("layer", "graph")
END_COLUMNS = ("writer", "target")


def grouped(nodes: pd.DataFrame, within: Within | str) -> pd.Series:
    """The supernode of each head that shares its label with another head of its layer or of the graph; else None.

    Raises:
        UnknownNameError: `within` is neither `layer` nor `graph`.
    """
    if within not in WITHIN:
        raise UnknownNameError("way of folding heads", within, WITHIN)
    heads = nodes[(nodes["kind"] == "head") & nodes["label"].notna()]
    where = "layer " + heads["layer"].astype("Int64").astype(str) if within == "layer" else "all layers"
    names = heads["label"].astype(str) + ", " + where
    names = names[names.duplicated(keep=False)]
    return names.reindex(nodes.index).astype(object).where(lambda name: name.notna(), None)


def supernodes(nodes: pd.DataFrame) -> pd.DataFrame:
    """One row for each supernode, in the place of the member that is nearest to their middle; `members` names them."""
    rows = []
    for name, own in nodes[nodes["group"].notna()].groupby("group", sort=False):
        away = (own["x"] - own["x"].mean()).abs() + (own["y"] - own["y"].mean()).abs()
        place = own.loc[away.idxmin()].to_dict()
        many = f"{len(own)} heads"
        rows.append({**place, "node": name, "name": many, "kind": "supernode", "members": ", ".join(own["node"])})
    return pd.DataFrame(rows, columns=pd.Index([*nodes.columns, "members"]))


def forms(edges: pd.DataFrame, group_of: pd.Series) -> pd.DataFrame:
    """Every edge in all of its forms; edges that then have the same ends and input become one, with the sum of scores.

    An edge within a supernode has no form in which that is folded.

    Args:
        edges: columns writer, target, into, reader, score.
        group_of: the supernode of each node, by the node's name.
    """
    plain = edges.assign(
        **{f"{end}_group": edges[end].map(group_of) for end in END_COLUMNS},
        **{f"{end}_folded": False for end in END_COLUMNS},
        n_edges=1,
        between=pd.Series([*zip(edges["writer"], edges["target"], strict=True)], index=edges.index, dtype=object),
    )
    inner = plain["writer_group"].notna() & (plain["writer_group"] == plain["target_group"])
    found, outer = [plain], plain[~inner]
    for folded in (("writer",), ("target",), END_COLUMNS):
        rows = outer[outer[[f"{end}_group" for end in folded]].notna().all(axis=1)]
        if len(rows):
            found.append(_summed(rows, folded))
    whole = pd.concat(found, ignore_index=True)
    groups = [f"{end}_group" for end in END_COLUMNS]
    whole[groups] = whole[groups].astype(object).where(whole[groups].notna(), None)
    return whole


def _summed(rows: pd.DataFrame, folded: tuple[str, ...]) -> pd.DataFrame:
    """The edges with these ends folded."""
    rows = rows.assign(**{end: rows[f"{end}_group"] for end in folded}, **{f"{end}_folded": True for end in folded})
    if "target" in folded:
        rows["reader"] = rows["target"] + rows["into"].map({"q": ".q", "k": ".k", "v": ".v"}).fillna("")
    keys = ["writer", "target", "into"]
    kept = {name: "first" for name in rows.columns if name not in (*keys, "score", "n_edges", "between")}
    sums = {"score": lambda scores: scores.sum(skipna=False), "n_edges": "sum"}
    ends = {"between": lambda pairs: sorted({name for pair in pairs for name in pair})}
    return rows.groupby(keys, sort=False, as_index=False).agg({**kept, **sums, **ends})
