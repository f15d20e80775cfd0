"""Verdicts along training, one row for each training run: what forms first, when the loss turns, on what it depends."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import (
    DEPENDENCE_ONSETS,
    LAGS,
    LOSS_CHANGES,
    ONSETS,
    DependenceCriterion,
    DependenceVerdict,
)
from interp_emerge.report.text import HtmlTable, html_table, joined
from interp_emerge.stats.intervals import SURE

PARTS = {"previous_token": "previous token", "induction": "induction", "accuracy": "ability"}
"""The quantities whose order is given, and their names."""
STEPS = {**PARTS, "copying": "copying", "faithfulness": "faithfulness"}
LAG_COLUMNS = {
    LagVerdict.LEADS: "before",
    LagVerdict.LAGS: "after",
    LagVerdict.UNRESOLVED: "undecided",
    LagVerdict.UNDEFINED: "within noise",
}
MISSING = "–"


def first_table(onsets: pd.DataFrame, order: pd.DataFrame, ability: str) -> HtmlTable | None:
    """Between which steps each quantity reaches half of its final value, and what certainly comes first."""
    half = (
        "steps between which it reaches half of its final value, as in table onsets: the first head to do so, by name"
    )
    meanings = {"size": ONSETS.columns["at"]}
    meanings |= {name: f"{name}: {half}" if quantity not in ("accuracy", "faithfulness") else
                 f"{name}: the last step without it and the first with it, as in table onsets"
                 for quantity, name in STEPS.items()}  # fmt: skip
    meanings["order"] = "what comes first in at least 97.5% of bootstrap samples over prompts, for every pair of heads"
    along = onsets[(onsets["axis"] == "step") & (onsets["ability"] == ability)]
    rows = []
    for size in order["size"].unique():
        own = along[along["at"] == size]
        row = {"size": size, "order": order_of(order[order["size"] == size])}
        rows.append(row | {name: _crossing(own[own["quantity"] == quantity]) for quantity, name in STEPS.items()})
    return html_table(pd.DataFrame(rows, columns=pd.Index([*meanings])), meanings) if rows else None


def order_of(order: pd.DataFrame) -> str:
    """The order of the ability and of heads by role in one training run, as a phrase."""
    kinds = [*PARTS]
    found: dict[str, list[str]] = {}
    for place, a in enumerate(kinds):
        for b in kinds[place + 1 :]:
            if verdict := _which(order, a, b):
                found.setdefault(verdict, []).append(f"{PARTS[a]} and {PARTS[b]}")
    if len(found) == 1:
        return next(iter(found))
    sure = [verdict for verdict in found if " before " in verdict]
    open_ = [f"{joined(pairs)} {verdict}" for verdict, pairs in found.items() if verdict not in sure]
    return "; ".join([*sure, *open_])


def _which(order: pd.DataFrame, a: str, b: str) -> str:
    """What comes first, for all heads of two kinds; empty if the run has not both."""
    ahead = order[(order["quantity_a"] == a) & (order["quantity_b"] == b)][["before", "after"]]
    behind = order[(order["quantity_a"] == b) & (order["quantity_b"] == a)][["before", "after"]]
    shares = pd.concat([ahead, behind.rename(columns={"before": "after", "after": "before"})])
    if shares.empty:
        return ""
    if (shares["before"] >= SURE).all():
        return f"{PARTS[a]} before {PARTS[b]}"
    if (shares["after"] >= SURE).all():
        return f"{PARTS[b]} before {PARTS[a]}"
    some = (shares >= SURE).any(axis=None)
    return "depend on the head" if some else "cannot be told"


def _crossing(rows: pd.DataFrame) -> str:
    """The earliest crossing among some heads: the steps before and after it."""
    reached = rows[rows["first_with"].fillna("").astype(str) != ""]
    if reached.empty:
        return MISSING if rows.empty else str(rows["verdict"].iloc[0])
    first = reached.loc[reached["first_with"].astype(float).sort_values(kind="stable").index[0]]
    before = first["last_without"]
    steps = f"{before} to {first['first_with']}" if isinstance(before, str) and before else f"by {first['first_with']}"
    named = first["component"] not in ("model", "circuit")
    return f"{steps} ({first['component']})" if named else steps


def lag_table(behind_ability: pd.DataFrame) -> HtmlTable | None:
    """How many parts of each circuit reach half of their final effect before the ability, after it, or undecided."""
    meanings = {"size": LAGS.columns["size"], "seed": LAGS.columns["seed"]}
    kinds = {"effect": "nodes", "edge effect": "edges"}
    for quantity, name in kinds.items():
        part = "heads and MLPs" if quantity == "effect" else "edges"
        for verdict, column in LAG_COLUMNS.items():
            meanings[f"{name} {column}"] = f"number of {part} of the circuit whose lag behind the ability is: {verdict}"
    rows = []
    for (size, seed), own in behind_ability.groupby(["size", "seed"], sort=False):
        row: dict[str, Any] = {"size": size, "seed": seed}
        for quantity, name in kinds.items():
            counts = own[own["quantity"] == quantity]["verdict"].value_counts()
            row |= {f"{name} {column}": int(counts.get(verdict, 0)) for verdict, column in LAG_COLUMNS.items()}
        if sum(value for name, value in row.items() if name not in ("size", "seed")):
            rows.append(row)
    return _run_table(rows, meanings)


def loss_table(changes: pd.DataFrame, behind_ability: pd.DataFrame) -> HtmlTable | None:
    """Between which steps the slope of the held-out loss of each run with a circuit changes."""
    meanings = {"size": LOSS_CHANGES.columns["size"], "seed": LOSS_CHANGES.columns["seed"]}
    meanings["changes"] = "checkpoints before and after each change of the slope, with the 95% interval of the change"
    meanings |= {name: LOSS_CHANGES.columns[name] for name in ("p_value", "verdict")}
    rows = []
    for size, seed in behind_ability[["size", "seed"]].drop_duplicates().itertuples(index=False):
        own = changes[(changes["size"] == size) & (changes["seed"] == seed)]
        found = [
            f"{row['before']:.0f} to {row['after']:.0f} [{row['ci_low']:.0f}, {row['ci_high']:.0f}]"
            for row in own.dropna(subset="before").to_dict("records")
        ]
        if own.empty:
            continue
        first = own.iloc[0]
        none = MISSING if first["verdict"] == LossVerdict.NO_CHANGE else "undefined"
        row = {"size": size, "seed": seed, "changes": joined(found) or none, "p_value": first.get("p_value")}
        rows.append(row | {"verdict": str(first["verdict"])})
    return _run_table(rows, meanings)


def dependence_table(onsets: pd.DataFrame) -> HtmlTable | None:
    """From which step on the ability depends on the edges, and on the heads, of each run's circuit."""
    names = {
        ("edges", DependenceCriterion.ABOVE_RANDOM): "edges, above random",
        ("edges", DependenceCriterion.HALF_OF_LAST): "edges, half",
        ("circuit", DependenceCriterion.ABOVE_RANDOM): "heads, above random",
        ("circuit", DependenceCriterion.HALF_OF_LAST): "heads, half",
    }
    meanings = {"size": DEPENDENCE_ONSETS.columns["size"], "seed": DEPENDENCE_ONSETS.columns["seed"]}
    for (kind, criterion), name in names.items():
        part = "edges" if kind == "edges" else "heads"
        more = (
            "more than without as many random ones"
            if criterion == DependenceCriterion.ABOVE_RANDOM
            else "half of what it loses at the last step"
        )
        meanings[name] = (
            f"step from which on the ability, without the circuit's {part}, loses {more}; with its 95% interval"
        )
    meanings["random sets"] = (
        "numbers of random circuits and of random sets of heads; fewer than 19 cannot reach p = 0.05"
    )
    chosen = onsets[onsets["kind"].isin(["edges", "circuit"]) & (onsets["metric"] != "accuracy")]
    rows = []
    for (size, seed), own in chosen.groupby(["size", "seed"], sort=False):
        row: dict[str, Any] = {"size": size, "seed": seed}
        row |= {names[one["kind"], one["criterion"]]: _from(one) for one in own.to_dict("records")}
        counts = own.drop_duplicates("kind").set_index("kind")["n_random"]
        row["random sets"] = joined(str(counts[kind]) for kind in ("edges", "circuit") if kind in counts)
        rows.append(row)
    return _run_table(rows, meanings, numbers=names.values())


def _from(row: Mapping[Any, Any]) -> str:
    """The step from which on a criterion holds, with its interval; the verdict where there is none or a doubt."""
    if pd.isna(row["first_with"]):
        return str(row["verdict"])
    low, high = ("never" if pd.isna(row[end]) else f"{row[end]:.0f}" for end in ("ci_low", "ci_high"))
    doubt = (
        "" if row["verdict"] in (DependenceVerdict.DEPENDS, DependenceVerdict.FROM_THE_START) else f", {row['verdict']}"
    )
    return f"{row['first_with']:.0f} [{low}, {high}]{doubt}"


def _run_table(rows: list[dict[str, Any]], meanings: dict[str, str], **options: Any) -> HtmlTable | None:
    """The rows as a table, without the seeds if each size has one; None without a row."""
    if not rows:
        return None
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seed"].nunique() < 2:
        meanings = {name: meaning for name, meaning in meanings.items() if name != "seed"}
    return html_table(frame, meanings, dict.fromkeys(meanings, MISSING), **options)
