"""Verdicts over scale, one row for each ability: its jump, the form of its curve, its correlation with scale."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.emergence.scale.tables import CORRELATIONS, JUMP, SEEDS, TRENDS, MirageVerdict
from interp_emerge.report.numbers import between, number
from interp_emerge.report.text import Because, HtmlTable, html_table, words
from interp_emerge.stats.intervals import UNDEFINED, Interval

WHOLE_AXIS = 1 - 1e-9
"""A gap that covers this fraction of the axis is all of it: any rise lies in it, so its concentration says nothing."""
NO_DATA = "–"
NO_SPREAD = "the values of a prompt do not differ between the models, so nothing can follow scale"


def accuracy_table(ability: pd.DataFrame, name: str) -> HtmlTable:
    """The accuracy of each training run at its last step, on the prompts on which abilities are measured."""
    rows = ability[(ability["ability"] == name) & (ability["metric"] == "accuracy")]
    rows = rows[rows["step"] == rows.groupby(["size", "seed"])["step"].transform("max")]
    meanings = {column: ABILITY.columns[column] for column in ("size", "seed", "n_parameters", "step")}
    meanings["accuracy"] = "share of prompts answered correctly, with its 95% interval over prompts"
    meanings["chance"] = ABILITY.columns["chance"]
    meanings["n_pairs"] = "number of prompts, drawn anew and not those that circuits are found or judged by"
    shown = rows.assign(accuracy=[between(Interval.of(row, "value", "ci")) for _, row in rows.iterrows()])
    return html_table(shown, meanings, source="", numbers=("accuracy",))


def concentration(row: Mapping[Any, Any]) -> str:
    """The concentration of a rise with its interval; undefined with two points, or without a rise."""
    return UNDEFINED if _why_no_concentration(row) else between(Interval.of(row, "concentration"))


def _why_no_concentration(row: Mapping[Any, Any]) -> str:
    if row.get("rise") is not None and not row["rise"] > 0:
        return "the metric does not rise, so no share of its rise lies anywhere"
    if row.get("width", 0) >= WHOLE_AXIS:
        return "with two points all of the rise lies in the one gap between them, whatever its form"
    return "the study has no value" if pd.isna(row["concentration"]) else ""


def _concentration_cell(row: Mapping[Any, Any]) -> str | Because:
    why = _why_no_concentration(row)
    return Because(UNDEFINED, why) if why else concentration(row)


def _of_jump(first: pd.Series, column: str) -> str | Because:
    """What only a jump has; without one, why there is none."""
    if first["verdict"] in (MirageVerdict.METRIC, MirageVerdict.MODEL):
        return between(Interval.of(first, column))
    none = {MirageVerdict.NO_JUMP: "accuracy does not jump, so there is no jump to share"}
    return Because(NO_DATA, none.get(first["verdict"], f"whether there is a jump is undecided: {first['reason']}"))


def jump_table(jump: pd.DataFrame) -> HtmlTable:
    """Whether each ability's jump is the model's or the metric's."""
    meanings = {
        "ability": JUMP.columns["ability"],
        "verdict": JUMP.columns["verdict"],
        "accuracy": f"shape of accuracy over scale: {JUMP.columns['shape']}",
        "concentration of accuracy": f"{JUMP.columns['concentration']}; undefined with two points or without a rise",
        "log_prob": f"shape of log_prob over scale: {JUMP.columns['shape']}",
        "concentration of log_prob": f"{JUMP.columns['concentration']}; undefined with two points or without a rise",
        "shared": JUMP.columns["shared"],
        "earlier": JUMP.columns["earlier"],
        "reason": JUMP.columns["reason"],
    }
    rows = []
    for (ability, _), found in jump.groupby(["ability", "axis"], sort=False):
        first = found.iloc[0]
        row: dict[str, Any] = {"ability": words(ability), "verdict": first["verdict"], "reason": first["reason"]}
        for one in found.dropna(subset="metric").to_dict("records"):
            row |= {one["metric"]: one["shape"], f"concentration of {one['metric']}": _concentration_cell(one)}
        row |= {name: _of_jump(first, name) for name in ("shared", "earlier")}
        rows.append(row)
    numbers = ("concentration of accuracy", "concentration of log_prob", "shared", "earlier")
    verdicts = {"verdict": "jump", "accuracy": "shape", "log_prob": "shape"}
    return html_table(_framed(rows, meanings), meanings, {"reason": ""}, numbers=numbers, verdicts=verdicts)


def trend_table(fits: pd.DataFrame) -> HtmlTable:
    """The form of each ability's curve under both metrics, with its Akaike weight."""
    meanings: dict[str, str] = {"ability": TRENDS.columns["ability"]}
    for metric in fits["metric"].dropna().unique():
        meanings |= {
            str(metric): f"form of {metric} over scale: {TRENDS.columns['verdict']}",
            f"weight of {metric}": f"weight of the best form: {TRENDS.columns['weight']}",
            f"reservations on {metric}": TRENDS.columns["reason"],
        }
    meanings["reason"] = TRENDS.columns["reason"]
    rows, verdicts = [], {str(metric): "form" for metric in fits["metric"].dropna().unique()}
    for ability, found in fits.groupby("ability", sort=False):
        row: dict[str, Any] = {"ability": words(ability)}
        if found["metric"].isna().all():
            row["reason"] = found["reason"].iloc[0]
        for metric, forms in found.groupby("metric", sort=False):
            best = forms.sort_values("weight", ascending=False, kind="stable").iloc[0]
            row |= {
                str(metric): words(best["verdict"]),
                f"weight of {metric}": _weight(best),
                f"reservations on {metric}": words(best["reason"]),
            }
        rows.append(row)
    empty = {name: "" for name in meanings if name.startswith("rese") or name == "reason"}
    return html_table(_framed(rows, meanings), _used(rows, meanings), empty, verdicts=verdicts,
                      numbers=[name for name in meanings if name.startswith("weight of ")])  # fmt: skip


def _weight(best: pd.Series) -> str | Because:
    """The weight of the best form; without one, why there is none."""
    if pd.isna(best["weight"]):
        return Because(UNDEFINED, best["reason"] or "there are too few points for any form")
    return number(best["weight"])


def correlation_table(found: pd.DataFrame) -> HtmlTable:
    """How closely each metric of a prompt follows scale."""
    meanings = {"ability": CORRELATIONS.columns["ability"]}
    metrics = [str(metric) for metric in found["metric"].dropna().unique()]
    meanings |= {metric: f"{metric}: {CORRELATIONS.columns['per_prompt']}" for metric in metrics}
    meanings["reason"] = CORRELATIONS.columns["reason"]
    rows = []
    for ability, own in found.groupby("ability", sort=False):
        known = own.dropna(subset="metric").to_dict("records")
        row = {"ability": words(ability), "reason": own["reason"].iloc[0]}
        rows.append(row | dict.fromkeys(metrics, Because(UNDEFINED, str(row["reason"]) or NO_SPREAD))
                    | {one["metric"]: _correlation(one) for one in known})  # fmt: skip
    return html_table(_framed(rows, meanings), _used(rows, meanings), {"reason": ""}, numbers=metrics)


def _correlation(row: Mapping[Any, Any]) -> str | Because:
    """How closely one metric of a prompt follows scale; without a value, why there is none."""
    if pd.isna(row["per_prompt"]):
        return Because(UNDEFINED, row["reason"] or NO_SPREAD)
    return between(Interval.of(row, "per_prompt"))


def seed_table(rows: pd.DataFrame) -> HtmlTable:
    """The sizes at which training seeds disagree on an ability."""
    names = {"ability": "ability", "size": "size", "n_success": "runs with it", "n_seeds": "runs", "p": "share of runs"}
    names |= {"values": "accuracies"}
    meanings = {shown: SEEDS.columns[name] for name, shown in names.items()}
    meanings["share of runs"] += ", with its exact 95% interval, which few runs leave wide"
    meanings["accuracies"] += ", in the order of the seeds, on the prompts of the table of accuracies above"
    mixed = rows.assign(
        ability=rows["ability"].map(words),
        values=[", ".join(str(values).split()) for values in rows["values"]],
        p=[between(Interval.of(row, "p", "ci")) for _, row in rows.iterrows()],
    )
    return html_table(mixed.rename(columns=names), meanings, numbers=("share of runs",), n_labels=2)


def _framed(rows: list[dict[str, Any]], meanings: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index([*meanings]))


def _used(rows: list[dict[str, Any]], meanings: Mapping[str, str]) -> dict[str, str]:
    """The columns in which a row has something."""
    return {name: meaning for name, meaning in meanings.items() if any(row.get(name) not in ("", None) for row in rows)}
