"""Verdicts on circuits, one row for each model or each pair of sizes: how faithful, against chance, the same or not."""

from typing import Any

import pandas as pd

from interp_emerge.circuits.tables import ABLATION, CIRCUITS
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.text import HtmlTable, html_table
from interp_emerge.stats.intervals import Interval

NONE, HEADS, RANDOM = "none", "circuit heads", "random heads of the same layers"
"""Conditions of the table of ablations."""


def circuit_table(found: pd.DataFrame) -> HtmlTable:
    """The circuit of each model: its edges, what they keep, what random circuits keep, and the verdict."""
    shown = {name: CIRCUITS.columns[name] for name in CIRCUITS.about if found[name].nunique() > 1 or name == "size"}
    for name in ("n_edges", "n_graph_edges", "edge_share", "faithfulness", "random_p95", "stability", "verdict"):
        shown[name] = CIRCUITS.columns[name]
    rows = found.to_dict("records")
    text = found.assign(
        faithfulness=[str(Interval.of(row, "faithfulness", "ci")) for row in rows],
        stability=[str(Interval.of(row, "stability")) for row in rows],
    )
    empty: dict[str, str] = dict.fromkeys(("n_edges", "n_graph_edges", "edge_share", "random_p95"), "–")
    return html_table(text, shown, empty, source=CIRCUITS.name, numbers=("faithfulness", "stability"))


def ablation_table(found: pd.DataFrame) -> HtmlTable:
    """Accuracy of each model: whole, without its circuit's heads, and without random heads of the same layers."""
    meanings = {
        "size": ABLATION.columns["size"],
        "seed": ABLATION.columns["seed"],
        "heads": "heads of the circuit that were ablated together",
        "whole": "accuracy with nothing ablated",
        "without the heads": "accuracy with these heads ablated, with its 95% interval over prompts",
        "without random heads": "median accuracy with as many random heads of the same layers ablated",
        "lowest": "lowest accuracy among these random draws",
        "draws": "number of random draws; where the layers have too few other heads there is none",
    }
    rows = []
    for (size, seed), own in found.groupby(["size", "seed"], sort=False):
        by = dict(iter(own.groupby("condition", sort=False)))
        if HEADS not in by or NONE not in by:
            continue
        ablated, random = by[HEADS].iloc[0], by.get(RANDOM, own.head(0))["accuracy"]
        row: dict[str, Any] = {"size": size, "seed": seed, "heads": ablated["heads"]}
        row |= {"whole": by[NONE]["accuracy"].iloc[0], "without the heads": str(Interval.of(ablated, "accuracy", "ci"))}
        row |= {"without random heads": random.median(), "lowest": random.min(), "draws": len(random)}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seed"].nunique() < 2:
        meanings.pop("seed")
    return html_table(frame, meanings, numbers=("without the heads",))


def same_table(found: pd.DataFrame) -> HtmlTable:
    """Whether the circuits of each two sizes are the same, by edges and by classes of edges."""
    about = COMPARISONS.columns
    meanings = {
        "sizes": f"{about['size_a']}, and the size that it is compared with",
        "seeds": f"{about['seed_a']} of both sizes",
        "level": about["level"],
        "verdict": about["verdict"],
        "index": "mean Jaccard index across halves of the prompts of both models, with the central 95% over splits",
        "if nothing differed": "the same index if both halves had the same scores, with the central 95% over draws",
        "exchanged heads": "the same index with the heads of each layer exchanged at random, with the central 95%",
        "random circuits": "the same index of random circuits of the same sizes, with the central 95%",
        "p_value_verdict": about["p_value_verdict"],
    }
    keys = ["size_a", "seed_a", "size_b", "seed_b", "level"]
    rows = []
    for (a, seed_a, b, seed_b, level), own in found.groupby(keys, sort=False):
        first = own.iloc[0]
        row = {"sizes": f"{a} and {b}", "seeds": f"{seed_a} and {seed_b}", "level": level, "verdict": first["verdict"]}
        columns = {"index": "across", "if nothing differed": "same scores"}
        columns |= {"exchanged heads": "exchanged heads", "random circuits": "random circuits"}
        for column, comparison in columns.items():
            row[column] = _interval(own, comparison)
        rows.append(row | {"p_value_verdict": first["p_value_verdict"]})
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seeds"].nunique() < 2:
        meanings.pop("seeds")
    numbers = ("index", "if nothing differed", "exchanged heads", "random circuits")
    return html_table(frame, meanings, numbers=numbers)


def _interval(rows: pd.DataFrame, comparison: str) -> str:
    """The index of one comparison with its interval, as text."""
    found = rows[rows["comparison"] == comparison].to_dict("records")
    ends = (found[0][name] for name in ("index", "low", "high")) if found else ()
    return str(Interval(*ends) if found else Interval.undefined())
