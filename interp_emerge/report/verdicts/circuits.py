"""Verdicts on circuits, one row for each model or each pair of sizes: how faithful, against chance, the same or not."""

import re
from typing import Any

import pandas as pd

from interp_emerge.circuits.tables import ABLATION, CIRCUITS
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS
from interp_emerge.report.numbers import Kind, between, is_missing, number
from interp_emerge.report.text import Because, HtmlTable, html_table
from interp_emerge.stats.intervals import UNDEFINED, Interval

NONE, HEADS, RANDOM = "none", "circuit heads", "random heads of the same layers"
"""Conditions of the table of ablations."""
NO_VALUE = "–"
OTHER_PROMPTS = "others, and fewer, than those of the section “Ability over scale”, so the two accuracies may differ"
CORRECTED = re.compile(r"corrected similarity (\S+(?: \[[^\]]*\])?)")
"""The corrected similarity in the sentence of a comparison, whose table has no column for it."""


def circuit_table(found: pd.DataFrame) -> HtmlTable:
    """The circuit of each model: its edges, what they keep, what random circuits keep, and the verdict."""
    about = [name for name in CIRCUITS.about if found[name].nunique() > 1 or name == "size"]
    shown = {name: CIRCUITS.columns[name] for name in about}
    for name in ("n_edges", "n_graph_edges", "edge_share", "faithfulness", "random_p95", "stability", "verdict"):
        shown[name] = CIRCUITS.columns[name]
    shown["faithfulness"] += ", with its 95% interval over prompts that were not used to find it"
    shown["stability"] += ", with its 95% interval"
    rows = [{name: row[name] for name in about} | _circuit_cells(row) for row in found.to_dict("records")]
    frame = pd.DataFrame(rows, columns=pd.Index([*shown]))
    numbers = ("n_edges", "n_graph_edges", "edge_share", "faithfulness", "random_p95", "stability")
    return html_table(frame, shown, source=CIRCUITS.name, numbers=numbers, verdicts={"verdict": "circuit"},
                      n_labels=len(about))  # fmt: skip


def _circuit_cells(row: dict[Any, Any]) -> dict[str, Any]:
    """What the table of circuits says of one circuit; where it has no number, the verdict is the reason."""

    def told(value: Any, text: str, missing: str) -> str | Because:
        return Because(missing, str(row["verdict"])) if is_missing(value) else text

    kinds = {"n_edges": Kind.COUNT, "n_graph_edges": Kind.COUNT, "edge_share": Kind.SHARE, "random_p95": Kind.MEASURE}
    cells = {name: told(row[name], number(row[name], kind), NO_VALUE) for name, kind in kinds.items()}
    for name, prefix in {"faithfulness": "ci", "stability": "stability"}.items():
        cells[name] = told(row[name], between(Interval.of(row, name, prefix)), UNDEFINED)
    return {**cells, "verdict": row["verdict"]}


def ablation_table(found: pd.DataFrame) -> HtmlTable:
    """Accuracy of each model: whole, without its circuit's heads, and without random heads of the same layers."""
    meanings = {
        "size": ABLATION.columns["size"],
        "seed": ABLATION.columns["seed"],
        "heads": "heads of the circuit that were ablated together",
        "whole": f"accuracy with nothing ablated, on the prompts that circuits are judged by: {OTHER_PROMPTS}",
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
        row["whole"] = between(Interval.of(by[NONE].iloc[0], "accuracy", "ci"))
        row["without the heads"] = between(Interval.of(ablated, "accuracy", "ci"))
        none = Because(UNDEFINED, "these layers have too few other heads, so nothing could be drawn")
        row |= {"without random heads": random.median() if len(random) else none}
        row |= {"lowest": random.min() if len(random) else none, "draws": len(random)}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seed"].nunique() < 2:
        meanings.pop("seed")
    return html_table(frame, meanings, numbers=("whole", "without the heads", "without random heads", "lowest"))


def same_table(found: pd.DataFrame) -> HtmlTable:
    """Whether the circuits of each two sizes are the same, by edges and by classes of edges."""
    about = COMPARISONS.columns
    meanings = {
        "sizes": f"{about['size_a']}, and the size that it is compared with",
        "seeds": f"{about['seed_a']} of both sizes",
        "level": about["level"],
        "verdict": about["verdict"],
        "corrected similarity": "what the circuits share beyond exchanged heads, as a fraction of what noise and "
        "unequal size would leave: 0 for exchanged heads, 1 if nothing differed; with its 95% interval, which decides "
        "on “same”",
        "index": "mean Jaccard index across halves of the prompts of both models, with the central 95% over splits",
        "if nothing differed": "the highest index to expect: that of circuits with the same scores, the same numbers "
        "of edges and the noise of the prompts, with the central 95% over draws",
        "exchanged heads": "the same index with the heads of each layer exchanged at random, with the central 95%",
        "random circuits": "the same index of random circuits of the same sizes, with the central 95%",
        "other seeds": "the same index of the first size's other training seeds, with the smallest and the largest. No "
        "circuit was sought in them: their strongest edges are taken, as many as the second circuit has",
        "p": f"{about['p_value_verdict']}; it decides on “different”",
    }
    keys = ["size_a", "seed_a", "size_b", "seed_b", "level"]
    rows = []
    for (a, seed_a, b, seed_b, level), own in found.groupby(keys, sort=False):
        first = own.iloc[0]
        row: dict[str, Any] = {"sizes": f"{a} and {b}", "seeds": f"{seed_a} and {seed_b}", "level": level}
        why = str(first["sentence"]).partition("cannot be told (")[2].partition("): ")[0].partition(") (besides")[0]
        row["verdict"] = Because(first["verdict"], why) if why else first["verdict"]
        row["corrected similarity"] = _corrected(str(first["sentence"]))
        columns = {"index": "across", "if nothing differed": "same scores"}
        columns |= {"exchanged heads": "exchanged heads", "random circuits": "random circuits"}
        for column, comparison in columns.items():
            row[column] = _interval(own, comparison)
        row["other seeds"] = _other_seeds(own, str(a))
        rows.append(row | {"p": number(first["p_value_verdict"], Kind.P_VALUE)})
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seeds"].nunique() < 2:
        meanings.pop("seeds")
    numbers = ("corrected similarity", "index", "if nothing differed", "exchanged heads", "random circuits")
    return html_table(frame, meanings, numbers=(*numbers, "other seeds", "p"), verdicts={"verdict": "same"},
                      n_labels=[*meanings].index("verdict"))  # fmt: skip


def _corrected(sentence: str) -> str | Because:
    """The corrected similarity that a comparison's sentence has."""
    found = CORRECTED.search(sentence)
    if found is None or found[1].rstrip(",") == UNDEFINED:
        return Because(UNDEFINED, "noise and size would leave no more than exchanged heads share, or nothing was drawn")
    return found[1].rstrip(",")


def _other_seeds(rows: pd.DataFrame, size: str) -> str | Because:
    """The index of other training seeds of the first size, with their number; without one, why."""
    found = rows[rows["comparison"] == "other seeds"].to_dict("records")
    if not found or not found[0]["n"] > 0:
        return Because("none", f"no other training seed of {size} has the ability, or it has only one")
    n = number(found[0]["n"], Kind.COUNT)
    return f"{_interval(rows, 'other seeds')} ({n} seed{'s' * (n != '1')})"


def _interval(rows: pd.DataFrame, comparison: str) -> str | Because:
    """The index of one comparison with its interval, as text."""
    found = rows[rows["comparison"] == comparison].to_dict("records")
    if not found or is_missing(found[0]["index"]):
        return Because(UNDEFINED, str(found[0]["note"]) if found and found[0]["note"] else "it was not computed")
    return between(Interval(*(found[0][name] for name in ("index", "low", "high"))))
