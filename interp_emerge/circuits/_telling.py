"""What an examination found, in sentences and in small tables; every number comes from its tables."""

from collections.abc import Mapping

import pandas as pd

from interp_emerge.circuits.faithfulness import Evaluation
from interp_emerge.core.circuit import Circuit

Tables = Mapping[str, pd.DataFrame]


def between(value: float, low: float, high: float) -> str:
    """A value with its interval: `0.84 [0.79, 0.88]`."""
    return "undefined" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def sentences(circuit: Circuit, found: Evaluation, without: Evaluation, tables: Tables) -> list[str]:
    """One sentence a result."""
    said = _kept(circuit, found, without)
    if "hypotheses" in tables:
        said += _tested(tables["hypotheses"])
    if "completeness" in tables:
        said += _complete(tables["completeness"])
    if "minimality" in tables:
        said += _minimal(tables["minimality"])
    again = {
        "stability": "As many of the strongest edges of bootstrap samples of the discovery pairs",
        "search_stability": "The circuits that the whole search finds on bootstrap samples of the discovery pairs",
    }
    return said + [_stable(what, tables[name]) for name, what in again.items() if name in tables]


def small_tables(tables: Tables) -> dict[str, pd.DataFrame]:
    """The tables that are read best as tables, cut down to what fits a terminal."""
    shown = {"what is kept": _wide(tables["evaluation"], ["edges"])}
    if "templates" in tables and tables["templates"]["template"].nunique() > 1:
        shown["by template"] = _wide(tables["templates"], ["template", "n_pairs"])
    if "ablations" in tables:
        rows = tables["ablations"]
        told = [between(*row) for row in rows[["faithfulness", "ci_low", "ci_high"]].to_numpy()]
        pivot = rows.assign(told=told).pivot(index="ablation", columns="level", values="told")
        shown["faithfulness by ablation"] = pivot.loc[rows["ablation"].unique()].reset_index().rename_axis(columns=None)
    if "roles" in tables:
        shown["roles of heads"] = _heads(tables["roles"])
    return shown


def _kept(circuit: Circuit, found: Evaluation, without: Evaluation) -> list[str]:
    n_edges = circuit.graph.n_edges
    size = f"{len(circuit):,} of {n_edges:,} edges ({len(circuit) / n_edges:.2%})"
    how = f"{len(found.metric)} pairs, {found.ablation} ablation"
    if not found.defined:
        return [
            f"Faithfulness of {size} is undefined: the gap of {found.gap.value:.3g} is within noise ({how}). Its "
            f"divergence from the whole model is {found.divergence.value:.3g} nats."
        ]
    return [
        f"{size} keep {between(found.faithfulness, *found.ci)} of the clean-corrupt gap ({how}); without them "
        f"{between(without.faithfulness, *without.ci)} is left.",
        f"Accuracy is {found.accuracy.value:.2f} with them alone and {without.accuracy.value:.2f} without them.",
    ]


def _tested(rows: pd.DataFrame) -> list[str]:
    said = []
    for row in rows.to_dict("records"):
        name = str(row["test"]).replace("_", " ").capitalize()
        if pd.isna(row["p_value"]):
            said.append(f"{name} is undefined: {row['note']}.")
            continue
        verdict = "supports the circuit" if row["supports"] else "does not support the circuit"
        beaten = "" if pd.isna(row["beaten"]) else f", beyond {row['beaten']:.0%} of {row['n']} random ones"
        said.append(f"{name} {verdict} (adjusted p = {row['p_adjusted']:.2g}{beaten}).")
    return said


def _complete(rows: pd.DataFrame) -> list[str]:
    rows = rows.dropna(subset="incompleteness")
    if rows.empty:
        return []
    worst = rows.sort_values("incompleteness", kind="stable").to_dict("records")[-1]
    differ = f"differ by {between(worst['incompleteness'], worst['ci_low'], worst['ci_high'])}"
    if not worst["nodes"]:
        return [f"Circuit and model {differ} as they are, and by less without any of {len(rows) - 1} sets of nodes."]
    return [
        f"Most incomplete without {worst['nodes']} ({worst['strategy']}): the circuit keeps {worst['f_circuit']:.2f}, "
        f"the model {worst['f_model']:.2f}; they {differ}."
    ]


def _minimal(rows: pd.DataFrame) -> list[str]:
    inside = rows[rows["place"] == "circuit"].dropna(subset="p_value")
    if inside.empty:
        return []
    idle = inside[inside["effect"] <= inside["null_max"]]["node"].tolist()
    n_random = int((rows["place"] == "outside").sum())
    beyond = f"{len(inside) - len(idle)} of {len(inside)} nodes do more than any of {n_random} random nodes added to it"
    return [f"{beyond}{'; not so ' + ' '.join(idle) if idle else ''}."]


def _stable(what: str, rows: pd.DataFrame) -> str:
    found = {row["quantity"]: row for row in rows.to_dict("records")}
    jaccard, random = found["jaccard"], found["random"]["value"]
    index = between(jaccard["value"], jaccard["ci_low"], jaccard["ci_high"])
    return f"{what} have a mean pairwise Jaccard index of {index}, random ones {random:.2f}."


def _wide(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Summaries below each other, one row each, every quantity with its interval in one cell."""
    told = [between(*row) for row in rows[["value", "ci_low", "ci_high"]].to_numpy()]
    wide = rows.assign(told=told).pivot(index=by, columns="quantity", values="told")
    return wide[rows["quantity"].unique()].loc[rows[by[0]].unique()].reset_index().rename_axis(columns=None)


def _heads(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a head: the roles that it is given, and its effect."""
    parts = []
    for node, own in rows.groupby("node", sort=False):
        first = own.iloc[0]
        parts.append(
            {
                "head": node,
                "roles": " ".join(own["role"][own["label"].fillna(False)]) or "none",
                "effect": between(*first[["effect", "effect_low", "effect_high"]]),
                "q_value": first["q_value"],
            }
        )
    return pd.DataFrame(parts, columns=["head", "roles", "effect", "q_value"])
