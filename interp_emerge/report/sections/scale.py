"""Ability over model size and over training, and whether a jump is real or made by the metric."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.tables import CORRELATIONS, JUMP, SEEDS, TRENDS, MirageVerdict
from interp_emerge.report import vocabulary
from interp_emerge.report.numbers import between, number
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, tabled
from interp_emerge.report.text import words
from interp_emerge.report.verdicts.scale import (
    accuracy_table,
    concentration,
    correlation_table,
    jump_table,
    seed_table,
    trend_table,
)
from interp_emerge.stats.intervals import Interval

AXIS_WORDS = {
    "parameters": "parameters",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "loss": "held-out loss",
}


def over_scale(study: StudyRecord) -> list[Block]:
    """Abilities over the study's axis of scale, and sentences on their curves."""
    table = study.table(ABILITY)
    axis = str(study.provenance.settings.get("axis", "parameters"))
    caption = (
        "Each ability at the last training step. Points are training seeds, lines run through their means, bars "
        "are 95% intervals over prompts. Dashed: controls, which every size learns smoothly. Dotted: chance."
    )
    jump, fits, found = study.table(JUMP), study.table(TRENDS), study.table(CORRELATIONS)
    seed_rows = study.table(SEEDS)
    asked = study.provenance.settings.get("ability")
    asked = str(asked if (table["ability"] == asked).any() else table["ability"].iloc[0])
    mixed = seed_rows[(seed_rows["n_success"] > 0) & (seed_rows["n_success"] < seed_rows["n_seeds"])]
    return [
        Block(
            pictures=[chart("ability_curve", table, "Ability over scale", caption, axis=axis)],
            fold="Figure: ability over scale",
        ),
        *_by_checkpoint(table, axis),
        *tabled("Accuracy at the last step", accuracy_table(table, asked), [], name="accuracy", folded=True),
        *tabled("Is the jump the model's or the metric's?", jump_table(jump), jumps(jump), name="jump"),
        *tabled("The form of the curve, among four forms", trend_table(fits), trends(fits), folded=True),
        *tabled(
            "Correlation of each prompt's score with scale", correlation_table(found), correlations(found), folded=True
        ),
        *tabled("Training runs that disagree", seed_table(mixed), seeds(mixed), name="seeds", folded=True),
    ]


def _by_checkpoint(table: pd.DataFrame, axis: str) -> list[Block]:
    """Abilities at every checkpoint, if a training run has several."""
    if table.groupby(["size", "seed"])["step"].nunique().max() < 2:
        return []
    caption = (
        "Every checkpoint of every training run; larger sizes are darker. If all sizes follow one curve over held-out "
        "loss, then the loss alone predicts the ability, whatever the size. Bars are 95% intervals over prompts."
    )
    try:
        drawn = chart("ability_by_checkpoint", table, "Ability at every checkpoint", caption, axis=axis)
    except InputError as error:
        return [Block(notes=[f"No figure of every checkpoint: {error}."])]
    return [Block(pictures=[drawn], fold="Figure: ability at every checkpoint")]


def jumps(jump: pd.DataFrame) -> list[str]:
    """For each ability, whether its jump over scale is the model's or the metric's."""
    sentences = []
    for _, rows in jump.groupby("ability", sort=False):
        first = rows.iloc[0]
        jumped = first["verdict"] in (MirageVerdict.METRIC, MirageVerdict.MODEL)
        verdict = f"the jump is {first['verdict']}" if jumped else first["verdict"]
        shapes = [
            f"{row['metric']} is {row['shape']}, concentration {concentration(row)}"
            for row in rows.dropna(subset="metric").to_dict("records")
        ]
        why = f" ({first['reason']})" if first["reason"] else ""
        if jumped:
            other = rows["metric"].iloc[-1]
            shapes.append(f"{other} shares {between(Interval.of(first, 'shared'))} of the jump, and makes "
                          f"{between(Interval.of(first, 'earlier'))} of its rise before")  # fmt: skip
        sentences.append("; ".join([f"{_over(first)}: {verdict}{why}", *shapes]) + ".")
    return sentences


def trends(fits: pd.DataFrame) -> list[str]:
    """For each ability, the form of its scores over scale, with the weight of that form among those compared."""
    sentences = []
    for _, rows in fits.groupby("ability", sort=False):
        parts = []
        for metric, forms in rows.groupby("metric", sort=False, dropna=False):
            best = forms.sort_values("weight", ascending=False, kind="stable").iloc[0]
            known = [f"weight {number(best['weight'])}"] if best["verdict"] == best["form"] else []
            why = "; ".join([*known, *([words(best["reason"])] if best["reason"] else [])])
            named = "" if pd.isna(metric) else f"{metric} "
            parts.append(f"{named}{words(best['verdict'])}{f' ({why})' if why else ''}")
        sentences.append(f"{_over(rows.iloc[0])}: {', '.join(parts)}.")
    return sentences


def correlations(found: pd.DataFrame) -> list[str]:
    """For each ability, how closely each metric of a prompt follows scale."""
    sentences = []
    for _, rows in found.groupby("ability", sort=False):
        first, known = rows.iloc[0], rows.dropna(subset="metric").to_dict("records")
        metrics = ", ".join(f"{row['metric']} {between(Interval.of(row, 'per_prompt'))}" for row in known)
        sentences.append(f"{_over(first)}: {metrics or 'undefined (' + first['reason'] + ')'}.")
    return sentences


def seeds(rows: pd.DataFrame) -> list[str]:
    """The sizes at which only some training seeds have an ability, with the probability of having it."""
    mixed = rows[(rows["n_success"] > 0) & (rows["n_success"] < rows["n_seeds"])]
    return [
        f"{words(row['ability']).capitalize()} at {row['size']}: {row['n_success']} of {row['n_seeds']} training runs "
        f"have it (share {between(Interval.of(row, 'p', 'ci'))} of such runs; "
        f"accuracies {', '.join(str(row['values']).split())} by seed)."
        for row in mixed.to_dict("records")
    ]


def _over(row: Mapping[Any, Any] | pd.Series) -> str:
    """An ability and its axis of scale."""
    return f"{words(row['ability']).capitalize()} over {AXIS_WORDS[row['axis']]}"


shelf.add(
    Section(
        name="scale",
        place=10,
        title="Ability over scale",
        lead="The same logits under a metric with a threshold, accuracy (left in the figure), and one without, "
        "log_prob (right): a jump of accuracy alone may come from the threshold.",
        reads=(ABILITY, JUMP, TRENDS, CORRELATIONS, SEEDS),
        nothing="no model was measured",
        vocabularies=(vocabulary.JUMP, vocabulary.SHAPE, vocabulary.FORM, vocabulary.TERMS),
        blocks=over_scale,
    )
)
