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
from interp_emerge.report.numbers import Kind, between, is_missing, number, step
from interp_emerge.report.text import Because, HtmlTable, html_table, joined
from interp_emerge.report.vocabulary import DEPENDENCE
from interp_emerge.stats.intervals import SURE, UNDEFINED, Interval

PARTS = {"previous_token": "previous token", "induction": "induction", "accuracy": "ability"}
"""The quantities whose order is given, and their names."""
STEPS = {**PARTS, "copying": "copying", "faithfulness": "faithfulness"}
LAG_COLUMNS = {
    LagVerdict.LEADS: "before",
    LagVerdict.LAGS: "after",
    LagVerdict.UNRESOLVED: "cannot be told",
    LagVerdict.UNDEFINED: "no final effect",
}
LAG_MEANINGS = {
    LagVerdict.LEADS: "that certainly reach half of their final effect before the ability is there",
    LagVerdict.LAGS: "that certainly reach half of their final effect after the ability is there",
    LagVerdict.UNRESOLVED: "for which neither is certain, for example because both lie between the same two "
    "checkpoints",
    LagVerdict.UNDEFINED: "whose effect at the last step is within noise, so that it has no half to reach",
}
NO_HEAD = Because("none", "no head of this circuit plays this role at the last step, so none was followed")
MAY_SHARE = ("any heads", "connected circuits")
"""Random choices that may contain parts of the circuit."""
FEWEST = "an onset with fewer than 19 random choices is given, but not certain: p cannot reach 0.05"


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
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    verdicts = {**dict.fromkeys(STEPS.values(), "onset"), "order": "lag"}
    return html_table(frame, meanings, verdicts=verdicts) if rows else None


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


def _crossing(rows: pd.DataFrame) -> str | Because:
    """The earliest crossing among some heads: the steps before and after it."""
    reached = rows[rows["first_with"].fillna("").astype(str) != ""]
    if reached.empty:
        return NO_HEAD if rows.empty else _why_none(rows.iloc[0])
    first = reached.loc[reached["first_with"].astype(float).sort_values(kind="stable").index[0]]
    before = first["last_without"]
    after = step(first["first_with"])
    steps = f"by {after}" if is_missing(before) else f"{step(before)} to {after}"
    named = first["component"] not in ("model", "circuit")
    return f"{steps} ({first['component']})" if named else steps


def _why_none(row: pd.Series) -> str | Because:
    """The verdict on a quantity that no step has, with the reason if the table has one."""
    verdict, _, why = str(row["verdict"]).partition(": ")
    reason = why or ("" if is_missing(row.get("reason")) else str(row["reason"]))
    return Because(verdict, reason) if reason else verdict


def lag_table(behind_ability: pd.DataFrame) -> HtmlTable | None:
    """How many parts of each circuit reach half of their final effect before the ability, after it, or undecided."""
    meanings = {"size": LAGS.columns["size"], "seed": LAGS.columns["seed"]}
    kinds = {"effect": "nodes", "edge effect": "edges"}
    for quantity, name in kinds.items():
        part = "heads and MLPs" if quantity == "effect" else "edges"
        meanings[name] = f"number of {part} of the circuit"
        for verdict, column in LAG_COLUMNS.items():
            meanings[f"{name}, {column}"] = f"number of {part} of the circuit {LAG_MEANINGS[verdict]}"
    rows = []
    for (size, seed), own in behind_ability.groupby(["size", "seed"], sort=False):
        row: dict[str, Any] = {"size": size, "seed": seed}
        for quantity, name in kinds.items():
            counts = own[own["quantity"] == quantity]["verdict"].value_counts()
            row[name] = int(counts.sum())
            row |= {f"{name}, {column}": int(counts.get(verdict, 0)) for verdict, column in LAG_COLUMNS.items()}
        if row["nodes"] or row["edges"]:
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
            f"{step(row['before'])} to {step(row['after'])} [{step(row['ci_low'])}, {step(row['ci_high'])}]"
            for row in own.dropna(subset="before").to_dict("records")
        ]
        if own.empty:
            continue
        first = own.iloc[0]
        verdict = str(first["verdict"])
        why = "one line describes all checkpoints" if verdict == LossVerdict.NO_CHANGE else verdict.partition(": ")[2]
        none = Because(
            "none" if verdict == LossVerdict.NO_CHANGE else UNDEFINED, why or "there are too few checkpoints"
        )
        p_value = Because(UNDEFINED, none.why) if is_missing(first.get("p_value")) else first["p_value"]
        rows.append({"size": size, "seed": seed, "changes": joined(found) or none, "p_value": p_value,
                     "verdict": verdict})  # fmt: skip
    return _run_table(rows, meanings, numbers=("p_value",), verdicts={"verdict": "loss"})


def dependence_table(onsets: pd.DataFrame, measured: pd.DataFrame) -> HtmlTable | None:
    """From which step on the ability depends on the edges, and on the heads, of each run's circuit.

    `measured` has what ablating the parts costs at each checkpoint; it gives the reasons.
    """
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
        row |= dict.fromkeys(names.values(), Because("none", "the study has no row for this part"))
        row |= {names[one["kind"], one["criterion"]]: _from(one, measured) for one in own.to_dict("records")}
        counts = own.drop_duplicates("kind").set_index("kind")["n_random"]
        row["random sets"] = joined(str(counts[kind]) for kind in ("edges", "circuit") if kind in counts)
        rows.append(row)
    return _run_table(rows, meanings, numbers=names.values(), verdicts=dict.fromkeys(names.values(), "dependence"))


def _from(row: Mapping[Any, Any], measured: pd.DataFrame) -> str | Because:
    """The step from which on a criterion holds, with its interval; the verdict where there is none or a doubt."""
    verdict = row["verdict"]
    if pd.isna(row["first_with"]):
        return Because(str(verdict), why_not(row, measured))
    found = f"{step(row['first_with'])} [{step(row['ci_low'])}, {step(row['ci_high'])}]"
    if verdict in (DependenceVerdict.DEPENDS, DependenceVerdict.FROM_THE_START):
        return found
    why = FEWEST if verdict == DependenceVerdict.TOO_FEW else why_not(row, measured)
    return Because(f"{found}, {verdict}", why)


def why_not(row: Mapping[Any, Any], measured: pd.DataFrame) -> str:
    """Why the ability does not certainly depend on a part: what ablating it and random parts costs at the last step."""
    meaning = DEPENDENCE.meanings[row["verdict"]]
    keys = ("size", "seed", "kind", "metric")
    same = [one for one in measured.to_dict("records") if all(one[key] == row[key] for key in keys)]
    if not same:
        return meaning
    last = max(same, key=lambda one: float(one["step"]))
    if pd.isna(last["drop"]):
        return f"{meaning}. At step {step(last['step'])}: {last['note'] or UNDEFINED}"
    lost = between(Interval.of(last, "drop"))
    part = f"At step {step(last['step'])} ablating it lowers {last['metric']} by {lost}"
    if row["criterion"] != DependenceCriterion.ABOVE_RANDOM or pd.isna(last["random_p95"]):
        return f"{meaning}. {part}"
    p = "" if pd.isna(last["p_value"]) else f", p = {number(last['p_value'], Kind.P_VALUE)}"
    shares = ", which may share parts with it" if last["null"] in MAY_SHARE else ""
    exceeds = "more than" if last["drop"] > last["random_p95"] else "not more than"
    return (
        f"{meaning}. {part}, {exceeds} the {number(last['random_p95'])} that 95% of {last['n_random']:.0f} random "
        f"choices ({last['null']}{shares}) cost at most{p}"
    )


def _run_table(rows: list[dict[str, Any]], meanings: dict[str, str], **options: Any) -> HtmlTable | None:
    """The rows as a table, without the seeds if each size has one; None without a row."""
    if not rows:
        return None
    frame = pd.DataFrame(rows, columns=pd.Index([*meanings]))
    if frame["seed"].nunique() < 2:
        meanings = {name: meaning for name, meaning in meanings.items() if name != "seed"}
    return html_table(frame, meanings, **options)
