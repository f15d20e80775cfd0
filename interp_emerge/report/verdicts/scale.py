"""Verdicts over scale, one row for each ability: its jump, the form of its curve, its correlation with scale."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.scale.tables import CORRELATIONS, JUMP, SEEDS, TRENDS, MirageVerdict
from interp_emerge.report.text import HtmlTable, html_table, words
from interp_emerge.stats.intervals import UNDEFINED, Interval

WHOLE_AXIS = 1 - 1e-9
"""A gap that covers this fraction of the axis is all of it: any rise lies in it, so its concentration says nothing."""


def concentration(row: Mapping[Any, Any]) -> str:
    """The concentration of a rise with its interval; undefined with two points, or without a rise."""
    no_rise = row.get("rise") is not None and not row["rise"] > 0
    if no_rise or row.get("width", 0) >= WHOLE_AXIS:
        return UNDEFINED
    return str(Interval.of(row, "concentration"))


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
            row |= {one["metric"]: one["shape"], f"concentration of {one['metric']}": concentration(one)}
        jumped = first["verdict"] in (MirageVerdict.METRIC, MirageVerdict.MODEL)
        row |= {name: str(Interval.of(first, name)) if jumped else "–" for name in ("shared", "earlier")}
        rows.append(row)
    numbers = ("concentration of accuracy", "concentration of log_prob", "shared", "earlier")
    return html_table(_framed(rows, meanings), meanings, {"reason": ""}, numbers=numbers)


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
    rows = []
    for ability, found in fits.groupby("ability", sort=False):
        row: dict[str, Any] = {"ability": words(ability)}
        if found["metric"].isna().all():
            row["reason"] = found["reason"].iloc[0]
        for metric, forms in found.groupby("metric", sort=False):
            best = forms.sort_values("weight", ascending=False, kind="stable").iloc[0]
            row |= {
                str(metric): words(best["verdict"]),
                f"weight of {metric}": best["weight"],
                f"reservations on {metric}": best["reason"],
            }
        rows.append(row)
    empty = {name: "" for name in meanings if name.startswith("rese") or name == "reason"}
    return html_table(_framed(rows, meanings), _used(rows, meanings), empty)


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
        rows.append(row | {one["metric"]: str(Interval.of(one, "per_prompt")) for one in known})
    return html_table(_framed(rows, meanings), _used(rows, meanings), {"reason": ""}, numbers=metrics)


def seed_table(rows: pd.DataFrame) -> HtmlTable:
    """The sizes at which training seeds disagree on an ability."""
    names = ("ability", "size", "n_success", "n_seeds", "p", "values")
    mixed = rows.assign(
        ability=rows["ability"].map(words), p=[str(Interval.of(row, "p", "ci")) for _, row in rows.iterrows()]
    )
    return html_table(mixed, {name: SEEDS.columns[name] for name in names}, source=SEEDS.name, numbers=("p",))


def _framed(rows: list[dict[str, Any]], meanings: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index([*meanings]))


def _used(rows: list[dict[str, Any]], meanings: Mapping[str, str]) -> dict[str, str]:
    """The columns in which a row has something."""
    return {name: meaning for name, meaning in meanings.items() if any(row.get(name) not in ("", None) for row in rows)}
