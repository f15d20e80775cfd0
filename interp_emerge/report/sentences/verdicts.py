"""What a study found beyond onsets, in sentences: jumps, trends, seeds, order, dependence, comparisons.

Each function takes tables by name and gives the sentences of one of them, with that table's numbers. What cannot be
told is said too.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.stats.intervals import Interval

Tables = Mapping[str, pd.DataFrame]
SURE = 0.995
"""Share that is 1.00 when it is written."""
LAG_WORDS = {
    "leads": "come before it",
    "lags": "after it",
    "unresolved": "between the same checkpoints or not to be told",
    "undefined": "end within noise",
}
AXIS_WORDS = {
    "parameters": "parameters",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "loss": "held-out loss",
}


def jumps(tables: Tables) -> list[str]:
    """For each ability whether its jump over scale is the model's or the metric's."""
    said = []
    for _, rows in tables["jump"].groupby("ability", sort=False):
        first = rows.iloc[0]
        shapes = [
            f"{row['metric']} {row['shape']}, concentration {Interval.of(row, 'concentration')}"
            for row in rows.dropna(subset="metric").to_dict("records")
        ]
        why = f" ({first['reason']})" if first["reason"] else ""
        said.append("; ".join([f"{_over(first)}: {first['verdict']}{why}", *shapes]) + ".")
    return said


def trends(tables: Tables) -> list[str]:
    """For each ability which form its scores take over scale, with the weight of that form among those compared."""
    said = []
    for _, rows in tables["trends"].groupby("ability", sort=False):
        parts = []
        for metric, fits in rows.groupby("metric", sort=False, dropna=False):
            best = fits.sort_values("weight", ascending=False, kind="stable").iloc[0]
            known = [f"weight {best['weight']:.2f}"] if best["verdict"] == best["form"] else []
            why = "; ".join([*known, *([best["reason"]] if best["reason"] else [])])
            named = "" if pd.isna(metric) else f"{metric} "
            parts.append(f"{named}{_spaced(best['verdict'])}{f' ({why})' if why else ''}")
        said.append(f"{_over(rows.iloc[0])}: {', '.join(parts)}.")
    return said


def correlations(tables: Tables) -> list[str]:
    """For each ability how closely the metrics of a prompt follow scale, down the ladder."""
    said = []
    for _, rows in tables["correlations"].groupby("ability", sort=False):
        first, known = rows.iloc[0], rows.dropna(subset="metric").to_dict("records")
        metrics = ", ".join(f"{row['metric']} {Interval.of(row, 'per_prompt')}" for row in known)
        said.append(f"{_over(first)}: {metrics or 'undefined (' + first['reason'] + ')'}.")
    return said


def seeds(tables: Tables) -> list[str]:
    """Abilities that some seeds of a size have and others lack, as a distribution."""
    rows = tables["seeds"]
    mixed = rows[(rows["n_success"] > 0) & (rows["n_success"] < rows["n_seeds"])]
    return [
        f"{_words(row['ability'])} at {row['size']}: {row['n_success']} of {row['n_seeds']} training runs have it "
        f"(P {Interval.of(row, 'p', 'ci')}; accuracies {row['values']})."
        for row in mixed.to_dict("records")
    ]


def orders(tables: Tables) -> list[str]:
    """For each run with a circuit, the order of its leading previous-token head, induction head, and the ability."""
    said = []
    for (size, _), rows in tables["order"].groupby(["size", "seed"], sort=False):
        first = rows.drop_duplicates(["quantity_a", "quantity_b"])
        wanted = first[(first["quantity_a"] != first["quantity_b"]) & ~_besides(first)]
        if parts := [_order(row) for row in wanted.to_dict("records")]:
            said.append(f"At {size}: {'; '.join(parts)}.")
    return said


def lags(tables: Tables) -> list[str]:
    """For each run with a circuit, how many of its parts come before the ability and how many after it."""
    said = []
    for (size, _), rows in tables["lags"].groupby(["size", "seed"], sort=False):
        kinds = []
        for quantity, words in {"effect": "heads and MLPs", "edge effect": "edges"}.items():
            counts = rows[rows["quantity"] == quantity]["verdict"].value_counts()
            if n := int(counts.sum()):
                told = ", ".join(
                    f"{counts[verdict]} {LAG_WORDS[verdict]}" for verdict in LAG_WORDS if verdict in counts
                )
                kinds.append(f"of {n} {words}, {told}")
        if kinds:
            said.append(f"At {size}, by their effects against the ability: {'; '.join(kinds)}.")
    return said


def losses(tables: Tables) -> list[str]:
    """For each run with a circuit, where the slope of its held-out loss changes."""
    changes, said = tables["loss_changes"], []
    for size, seed in tables["lags"][["size", "seed"]].drop_duplicates().itertuples(index=False):
        rows = changes[(changes["size"] == size) & (changes["seed"] == seed)]
        found = [
            f"between steps {row['before']:.0f} and {row['after']:.0f} [{row['ci_low']:.0f}, {row['ci_high']:.0f}]"
            for row in rows.dropna(subset="before").to_dict("records")
        ]
        verdict = rows["verdict"].iloc[0]
        none = "shows no change of slope" if verdict == "no change seen" else f"has nothing to tell ({verdict})"
        told = f"changes its slope {' and '.join(found)}" if found else none
        said.append(f"At {size}, the held-out loss {told}.")
    return said


def dependences(tables: Tables) -> list[str]:
    """For each run with a circuit, when the ability comes to depend on its edges and on its heads."""
    onsets, said = tables["dependence_onsets"], []
    chosen = onsets[onsets["kind"].isin(["edges", "circuit"]) & (onsets["metric"] != "accuracy")]
    for (size, _), runs in chosen.groupby(["size", "seed"], sort=False):
        parts = []
        for kind, rows in runs.groupby("kind", sort=False):
            told = ", and ".join(_from_when(row) for row in rows.to_dict("records"))
            parts.append(f"With the {'edges' if kind == 'edges' else 'heads'} of its circuit ablated it loses {told}.")
        said.append(f"At {size}. {' '.join(parts)}")
    return said


def comparisons(tables: Tables) -> list[str]:
    """For circuits of neighbouring sizes whether they differ, by edges and by classes of edges."""
    first = tables["comparisons"].drop_duplicates(["size_a", "seed_a", "size_b", "seed_b", "level"])
    return [
        f"{row['size_a']} and {row['size_b']}, {row['level']}: {row['sentence']}." for row in first.to_dict("records")
    ]


def _order(row: Mapping[Any, Any]) -> str:
    """Which of two comes first, with the shares of resamples that say so."""
    a, b = (_part(row[f"quantity_{end}"], row[f"component_{end}"]) for end in "ab")
    if pd.isna(row["before"]):
        return f"{a} and {b}: {row['answer']}"
    if row["answer"].startswith("cannot"):
        shares = f"{a} first {row['before']:.2f}, {b} first {row['after']:.2f}, same gap {row['tie']:.2f}"
        return f"{a} and {b}: {row['answer']}" + (f" ({shares})" if row["tie"] < SURE else "")
    first, second = (a, b) if row["before"] > row["after"] else (b, a)
    return f"{first} before {second} (probability {max(row['before'], row['after']):.2f})"


def _from_when(row: Mapping[Any, Any]) -> str:
    """From which step on the ability loses more than a criterion asks for; or what speaks against it."""
    n = row["n_random"]
    more = (
        f"more than with {n} random choice{'s' * (n != 1)}"
        if row["criterion"] == "above random"
        else "half of the last loss"
    )
    if row["verdict"].startswith("undefined"):
        return f"an amount that is undefined against random choices, of which there are {n}"
    if pd.isna(row["first_with"]):
        return f"{more} at no step for good ({row['verdict']})"
    doubt = {"too few random choices": ", too few for p = 0.05", "undecided": ", undecided"}.get(row["verdict"], "")
    ends = f"[{_step(row['ci_low'])}, {_step(row['ci_high'])}]"
    return f"{more} from step {_step(row['first_with'])} {ends} on{doubt}"


def _besides(rows: pd.DataFrame) -> pd.Series:
    """Whether a row is about a quantity that says the same as another of the same head, or of a part."""
    besides = ["copying", "effect", "edge effect"]
    return rows["quantity_a"].isin(besides) | rows["quantity_b"].isin(besides)


def _part(quantity: str, component: str) -> str:
    """A quantity by its name in a sentence."""
    return "the ability" if component == "model" else f"{quantity.replace('_', '-')} head {component}"


def _step(value: int | float | None) -> str:
    return "never" if pd.isna(value) else f"{value:.0f}"


def _over(row: Mapping[Any, Any] | pd.Series) -> str:
    """An ability and the axis that it is seen over."""
    return f"{_words(row['ability'])} over {AXIS_WORDS[row['axis']]}"


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")


def _words(name: object) -> str:
    return _spaced(name).capitalize()
