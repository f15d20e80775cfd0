"""The results of an examination as sentences and as small tables; every number comes from its tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.abilities.following import why_not_followed
from interp_emerge.circuits.running.faithfulness import Evaluation
from interp_emerge.circuits.testing.outcomes import HypothesisVerdict
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import counted
from interp_emerge.stats.intervals import UNDEFINED, Interval
from interp_emerge.stats.ranks import least_p
from interp_emerge.stats.significance import SIGNIFICANT

Tables = Mapping[str, pd.DataFrame]
PREDICATES = {
    HypothesisVerdict.AGAINST: "is rejected, which is evidence against the circuit",
    HypothesisVerdict.NOT_AGAINST: "finds no evidence against the circuit",
    HypothesisVerdict.SUPPORTS: "supports the circuit",
    HypothesisVerdict.CANNOT_TELL: "cannot distinguish the circuit from chance",
}
"""How a sentence about a test continues, by its verdict."""


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def sentences(circuit: Circuit, found: Evaluation, without: Evaluation, tables: Tables) -> list[str]:
    """One sentence a result; `found` is the evaluation of the circuit, `without` that of all other edges."""
    lines = [] if len(circuit) else ["The circuit is empty."]
    if found.ablation == "resample" and (why := why_not_followed(found.clean - found.corrupt)):
        lines.insert(0, f"{why[0].upper()}{why[1:]}. Then there is no circuit to find.")
    lines += _missed_target(circuit) + _kept(circuit, found, without)
    if "hypotheses" in tables:
        lines += _tests(tables["hypotheses"])
    if "completeness" in tables:
        lines += _completeness(tables["completeness"])
    if "minimality" in tables:
        lines += _minimality(tables["minimality"])
    if "areas" in tables and not tables["areas"]["value"].isna().all():
        areas = {row["quantity"]: Interval.of(row, "value", "ci") for row in _rows(tables["areas"])}
        cpr, cmd = areas["cpr"], areas["cmd"]
        near = "; noise adds to CMD, and it may be 0" if cmd.low == 0 else ""
        lines.append(
            f"Over the best 0.1% to 100% of all edges, CPR is {cpr} by signed score, and CMD is {cmd} by magnitude of "
            f"score{near}."
        )
    if "backup" in tables:
        others = tables["backup"]
        backups = " ".join(others[others["backs_up"].fillna(False)]["node"]) or "none"
        lines.append(
            f"Of {counted(len(others), 'other head')}, these matter more once the circuit's heads are ablated: "
            f"{backups}."
        )
    subjects = {
        "stability": "Circuits selected in the same way on two independent sets of as many prompts",
        "search_stability": "Circuits that the whole search finds on two independent sets of as many prompts",
    }
    return lines + [_stability(subject, tables[name]) for name, subject in subjects.items() if name in tables]


def small_tables(tables: Tables) -> dict[str, pd.DataFrame]:
    """The results that read best as tables, small enough for a terminal."""
    shown = {"what is kept": _wide(tables["evaluation"], ["edges"])}
    if "templates" in tables and tables["templates"]["template"].nunique() > 1:
        shown["by template"] = _wide(tables["templates"], ["template", "n_pairs"])
    if "ablations" in tables:
        rows = tables["ablations"]
        cells = [str(Interval.of(row, "faithfulness", "ci")) for row in _rows(rows)]
        pivot = rows.assign(cell=cells).pivot(index="ablation", columns="level", values="cell")
        shown["faithfulness by ablation"] = pivot.loc[rows["ablation"].unique()].reset_index().rename_axis(columns=None)
    if "roles" in tables:
        shown["roles of heads"] = _heads(tables["roles"])
    return shown


def _missed_target(circuit: Circuit) -> list[str]:
    """A sentence if the search for the smallest circuit did not reach its target of faithfulness."""
    selection = circuit.origin.get("selection")
    if not isinstance(selection, Mapping) or selection.get("reached") is not False:
        return []
    value, tried = selection.get("faithfulness"), selection.get("tried")
    missed = f"On the discovery pairs no circuit reached a faithfulness of {selection['target']:g}"
    if value is None:
        why = selection.get("undefined")
        return [f"{missed}: it is undefined there{f', since the gap {why}' if why else ''}."]
    # If no size reaches the target, the last size tried is the circuit, and its entry is what missed the target.
    low = f", with {tried[-1][1]:.2f} at the lower end of its interval" if selection.get("sure") and tried else ""
    return [f"{missed}; this one has {value:.2f}{low}."]


def _kept(circuit: Circuit, found: Evaluation, without: Evaluation) -> list[str]:
    n_edges = circuit.graph.n_edges
    size = f"{len(circuit):,} of {counted(n_edges, 'edge')} ({len(circuit) / n_edges:.2%})"
    how = f"{counted(len(found.metric), 'pair')}, {found.ablation} ablation"
    keep, them = ("keeps", "it") if len(circuit) == 1 else ("keep", "them")
    if not found.defined:
        return [
            f"Faithfulness of {size} is undefined: the gap of {found.gap.value:.3g} {found.why_undefined} ({how}). The "
            f"circuit's divergence from the whole model is {found.divergence.value:.3g} nats."
        ]
    return [
        f"{size} {keep} {found.interval} of the clean-corrupt gap ({how}); without {them}, {without.interval} is left.",
        f"Accuracy is {found.accuracy.value:.2f} with {them} alone and {without.accuracy.value:.2f} without {them}.",
    ]


def _tests(rows: pd.DataFrame) -> list[str]:
    """One sentence a hypothesis test, with its note; one for all that are undefined for the same reason."""
    lines = []
    for row in rows[rows["p_value"].notna()].to_dict("records"):
        name = str(row["test"]).replace("_", " ").capitalize()
        beaten = "" if pd.isna(row["beaten"]) else f", better than {row['beaten']:.0%} of {row['n']} random ones"
        beaten += f" ({row['random_kind']})" if beaten and not pd.isna(row["random_kind"]) else ""
        note = f"; {row['note']}" if row["note"] else ""
        lines.append(f"{name} {PREDICATES[row['verdict']]} (adjusted p = {row['p_adjusted']:.2g}{beaten}{note}).")
    for note, alike in rows[rows["p_value"].isna()].groupby("note", sort=False)["test"]:
        *others, last = [str(test).replace("_", " ") for test in alike]
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        lines.append(f"{names[0].upper()}{names[1:]} undefined: {note}.")
    return lines


def _completeness(rows: pd.DataFrame) -> list[str]:
    rows = rows.dropna(subset="incompleteness")
    if rows.empty:
        return []
    n_pairs = counted(int(rows["n_pairs"].iloc[0]), "pair")
    on = f"On {n_pairs} not used to choose the sets," if (rows["strategy"] == "greedy").any() else f"On {n_pairs},"
    n_sets = rows.loc[rows["nodes"] != "", "nodes"].nunique()
    worst = rows.sort_values("incompleteness", kind="stable").to_dict("records")[-1]
    differ = f"differ by {Interval.of(worst, 'incompleteness', 'ci')}"
    if not worst["nodes"]:
        tried = f"knocking out {counted(n_sets, 'set')} of nodes gave no larger difference"
        return [f"{on} circuit and model {differ} of the gap; {tried if n_sets else 'no set was knocked out'}."]
    return [
        f"{on} circuit and model differ most without {worst['nodes']} ({worst['strategy']}; {counted(n_sets, 'set')} "
        f"tried): the circuit keeps {worst['f_circuit']:.2f}, the model {worst['f_model']:.2f}; they {differ}."
    ]


def _minimality(rows: pd.DataFrame) -> list[str]:
    inside = rows[rows["place"] == "circuit"].dropna(subset="effect")
    n_random = int((rows["place"] == "outside").sum())
    if inside.empty:
        return []
    if not n_random:
        return [
            f"The circuit's {counted(len(inside), 'node')} could not be compared with nodes outside: none was added."
        ]
    idle = inside[inside["effect"] <= inside["null_max"]]["node"].tolist()
    n_beyond, least = len(inside) - len(idle), least_p(n_random)
    parts = [
        f"{n_beyond} of the circuit's {counted(len(inside), 'node')} {'has' if n_beyond == 1 else 'have'} a larger "
        f"effect than {f'all {n_random} random nodes' if n_random > 1 else 'the one random node'} added to it"
    ]
    if idle:
        parts.append(f"the exceptions are {' '.join(idle)}")
    if least > SIGNIFICANT:
        parts.append(f"with {counted(n_random, 'random node')} no p-value is below {least:.2g}")
    return [f"{'; '.join(parts)}."]


def _stability(subject: str, rows: pd.DataFrame) -> str:
    found = {row["quantity"]: row for row in rows.to_dict("records")}
    jaccard, random = found["jaccard"], found["random"]["value"]
    if pd.isna(jaccard["value"]):
        return f"{subject} have no edge to compare, so stability is undefined."
    index = Interval.of(jaccard, "value", "ci")
    return f"{subject} have an expected Jaccard index of {index}; random circuits of the same sizes {random:.2f}."


def _wide(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row for each value of `by` and one column a quantity; a cell holds the value with its interval."""
    cells = [str(Interval.of(row, "value", "ci")) for row in _rows(rows)]
    wide = rows.assign(cell=cells).pivot(index=by, columns="quantity", values="cell")
    return wide[rows["quantity"].unique()].loc[rows[by[0]].unique()].reset_index().rename_axis(columns=None)


def _labels(own: pd.DataFrame) -> str:
    """The roles of one head, the clearest first; those that follow from weights alone, which have no noise, last."""
    held = own[own["label"].fillna(False)]
    width = held["ci_high"] - held["ci_low"]
    clear = ((held["ci_low"] - held["baseline"]) / width).where(width > 0, -np.inf)
    return " ".join(held["role"].loc[clear.sort_values(ascending=False, kind="stable").index]) or "none"


def _heads(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a head: the roles that it is labelled with, and its effect."""
    parts = []
    for node, own in rows.groupby("node", sort=False):
        first = own.iloc[0]
        parts.append(
            {
                "head": node,
                "roles": UNDEFINED if own["label"].isna().all() else _labels(own),
                "effect": str(Interval.of(first, "effect")),
                "q_value": first["q_value"],
            }
        )
    return pd.DataFrame(parts, columns=["head", "roles", "effect", "q_value"])
