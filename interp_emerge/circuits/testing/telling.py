"""What an examination found, in sentences and in small tables; every number comes from its tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.circuits.running.faithfulness import Evaluation
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import counted
from interp_emerge.stats.intervals import UNDEFINED, Interval
from interp_emerge.stats.ranks import least_p
from interp_emerge.stats.significance import SIGNIFICANT

Tables = Mapping[str, pd.DataFrame]
SAID = {
    "speaks against": "speaks against the circuit",
    "no evidence against": "finds no evidence against the circuit",
    "supports": "supports the circuit",
    "cannot tell": "cannot tell the circuit from chance",
}
"""Verdicts of the tests as predicates."""


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def sentences(circuit: Circuit, found: Evaluation, without: Evaluation, tables: Tables) -> list[str]:
    """One sentence a result."""
    said = [] if len(circuit) else ["The circuit is empty."]
    said += _missed(circuit) + _kept(circuit, found, without)
    if "hypotheses" in tables:
        said += _tested(tables["hypotheses"])
    if "completeness" in tables:
        said += _complete(tables["completeness"])
    if "minimality" in tables:
        said += _minimal(tables["minimality"])
    if "areas" in tables:
        areas = {row["quantity"]: Interval.of(row, "value", "ci") for row in _rows(tables["areas"])}
        said.append(f"Over the best edges from 0.1% to all, CPR is {areas['cpr']} and CMD {areas['cmd']}.")
    if "backup" in tables:
        others = tables["backup"]
        backing = others[others["backs_up"].fillna(False)]["node"].tolist()
        said.append(f"Heads that grow when its own are ablated: {' '.join(backing) or 'none'} of {len(others)} others.")
    again = {
        "stability": "The circuits selected alike from bootstrap samples of the discovery pairs",
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
        told = [str(Interval.of(row, "faithfulness", "ci")) for row in _rows(rows)]
        pivot = rows.assign(told=told).pivot(index="ablation", columns="level", values="told")
        shown["faithfulness by ablation"] = pivot.loc[rows["ablation"].unique()].reset_index().rename_axis(columns=None)
    if "roles" in tables:
        shown["roles of heads"] = _heads(tables["roles"])
    return shown


def _missed(circuit: Circuit) -> list[str]:
    """That the search for the smallest circuit did not reach what it was to keep."""
    selection = circuit.origin.get("selection")
    if not isinstance(selection, Mapping) or selection.get("reached") is not False:
        return []
    value, tried = selection.get("faithfulness"), selection.get("tried")
    said = f"The target of {selection['target']:g} was not reached on the discovery pairs"
    if value is None:
        why = selection.get("undefined")
        return [f"{said}: faithfulness is undefined there{f', since the gap {why}' if why else ''}."]
    # Where nothing reaches the target the last size tried is the circuit, with what was compared with the target.
    low = f", and {tried[-1][1]:.2f} at the lower end of its interval" if selection.get("sure") and tried else ""
    return [f"{said}: {value:.2f}{low}."]


def _kept(circuit: Circuit, found: Evaluation, without: Evaluation) -> list[str]:
    n_edges = circuit.graph.n_edges
    size = f"{len(circuit):,} of {counted(n_edges, 'edge')} ({len(circuit) / n_edges:.2%})"
    how = f"{counted(len(found.metric), 'pair')}, {found.ablation} ablation"
    keep, them = ("keeps", "it") if len(circuit) == 1 else ("keep", "them")
    if not found.defined:
        return [
            f"Faithfulness of {size} is undefined: the gap of {found.gap.value:.3g} {found.why_undefined} ({how}). Its "
            f"divergence from the whole model is {found.divergence.value:.3g} nats."
        ]
    return [
        f"{size} {keep} {found.interval} of the clean-corrupt gap ({how}); without {them} {without.interval} is left.",
        f"Accuracy is {found.accuracy.value:.2f} with {them} alone and {without.accuracy.value:.2f} without {them}.",
    ]


def _tested(rows: pd.DataFrame) -> list[str]:
    """What each test says, with its notes: ties, and where nothing could have been rejected."""
    said = []
    for row in rows.to_dict("records"):
        name = str(row["test"]).replace("_", " ").capitalize()
        if pd.isna(row["p_value"]):
            said.append(f"{name} is undefined: {row['note']}.")
            continue
        beaten = "" if pd.isna(row["beaten"]) else f", beyond {row['beaten']:.0%} of {row['n']} random ones"
        note = f"; {row['note']}" if row["note"] else ""
        said.append(f"{name} {SAID[row['verdict']]} (adjusted p = {row['p_adjusted']:.2g}{beaten}{note}).")
    return said


def _complete(rows: pd.DataFrame) -> list[str]:
    rows = rows.dropna(subset="incompleteness")
    if rows.empty:
        return []
    n_pairs = counted(int(rows["n_pairs"].iloc[0]), "pair")
    on = f"On {n_pairs}, which did not choose the sets," if (rows["strategy"] == "greedy").any() else f"On {n_pairs}"
    n_sets = rows.loc[rows["nodes"] != "", "nodes"].nunique()
    worst = rows.sort_values("incompleteness", kind="stable").to_dict("records")[-1]
    differ = f"differ by {Interval.of(worst, 'incompleteness', 'ci')}"
    if not worst["nodes"]:
        others = f"by no more without any of {counted(n_sets, 'set')} of nodes" if n_sets else "no set was knocked out"
        return [f"{on} circuit and model {differ} as they are; {others}."]
    return [
        f"{on} the circuit is most incomplete without {worst['nodes']} ({worst['strategy']}), of "
        f"{counted(n_sets, 'set')}: it keeps {worst['f_circuit']:.2f}, the model {worst['f_model']:.2f}; they {differ}."
    ]


def _minimal(rows: pd.DataFrame) -> list[str]:
    inside = rows[rows["place"] == "circuit"].dropna(subset="effect")
    n_random = int((rows["place"] == "outside").sum())
    if inside.empty:
        return []
    if not n_random:
        return [f"No node outside was added, to compare the circuit's {counted(len(inside), 'node')} with."]
    idle = inside[inside["effect"] <= inside["null_max"]]["node"].tolist()
    n_beyond, least = len(inside) - len(idle), least_p(n_random)
    said = f"{n_beyond} of the circuit's {counted(len(inside), 'node')} {'does' if n_beyond == 1 else 'do'} more than "
    said += (
        f"any of {counted(n_random, 'random node')} added to it"
        if n_random > 1
        else "the one node outside that was added to it"
    )
    said += f"; not so {' '.join(idle)}" if idle else ""
    return [f"{said}; so few give no p-value below {least:.2g}." if least > SIGNIFICANT else f"{said}."]


def _stable(what: str, rows: pd.DataFrame) -> str:
    found = {row["quantity"]: row for row in rows.to_dict("records")}
    jaccard, random = found["jaccard"], found["random"]["value"]
    if pd.isna(jaccard["value"]):
        return f"{what} have no edge to compare: stability is undefined."
    index = Interval.of(jaccard, "value", "ci")
    return f"{what} have a mean pairwise Jaccard index of {index}, random ones {random:.2f}."


def _wide(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Summaries below each other, one row each, every quantity with its interval in one cell."""
    told = [str(Interval.of(row, "value", "ci")) for row in _rows(rows)]
    wide = rows.assign(told=told).pivot(index=by, columns="quantity", values="told")
    return wide[rows["quantity"].unique()].loc[rows[by[0]].unique()].reset_index().rename_axis(columns=None)


def _given(own: pd.DataFrame) -> str:
    return " ".join(own["role"][own["label"].fillna(False)]) or "none"


def _heads(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a head: the roles that it is given, and its effect."""
    parts = []
    for node, own in rows.groupby("node", sort=False):
        first = own.iloc[0]
        parts.append(
            {
                "head": node,
                "roles": UNDEFINED if own["label"].isna().all() else _given(own),
                "effect": str(Interval.of(first, "effect")),
                "q_value": first["q_value"],
            }
        )
    return pd.DataFrame(parts, columns=["head", "roles", "effect", "q_value"])
