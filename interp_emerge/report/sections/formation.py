"""How the circuit forms over training: what appears first, and when the ability starts to depend on it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import (
    DEPENDENCE,
    DEPENDENCE_ONSETS,
    FORMATION,
    LAGS,
    LOSS_CHANGES,
    ONSETS,
    ORDER,
    DependenceCriterion,
    DependenceVerdict,
)
from interp_emerge.report import vocabulary
from interp_emerge.report.numbers import Kind, is_missing, number, step
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, parts, tabled
from interp_emerge.report.text import joined
from interp_emerge.report.verdicts.formation import dependence_table, first_table, lag_table, loss_table
from interp_emerge.stats.intervals import SURE

ROUNDS_TO_ONE = 0.995
"""A share from this value on is printed as 1.00."""
LAG_WORDS = {
    LagVerdict.LEADS: "{n} certainly before it",
    LagVerdict.LAGS: "{n} certainly after it",
    LagVerdict.UNRESOLVED: "for {n} the order cannot be told",
    LagVerdict.UNDEFINED: "for {n} there is no final effect beyond noise, so no half of it",
}
RANDOM_CHOICES = {
    "edges": ("random circuit", "random circuits"),
    "circuit": ("random set of heads", "random sets of heads"),
}
"""What the loss without a part is compared with, by the kind of part."""
DEPENDS = (
    "“Above random” asks whether the circuit matters more than random parts of the same size. In a small model random "
    "choices share heads or edges with the circuit and cost as much, so “not reached” there says that the null is "
    "hard, not that the circuit does nothing. “Half” has no null."
)
HALF = "half of what it loses at the last step"
DOUBTS = {DependenceVerdict.TOO_FEW: ", too few for p = 0.05", DependenceVerdict.UNDECIDED: ", undecided"}


def forms(study: StudyRecord) -> list[Block]:
    """The quantities at every checkpoint, and sentences on their order."""
    blocks = []
    for heading, names, rows in parts(study.table(FORMATION), ["ability"]):
        caption = (
            f"Each quantity at every checkpoint{_begins(rows)}. Faithfulness is that of the last step's "
            "circuit, and is not drawn where it is undefined. Bands are 95% intervals over prompts. "
            "The part with the highest value at the last step is drawn strongly and named; the others are faint."
        )
        picture = chart("formation", rows, f"Formation of {names['ability']}", caption)
        blocks.append(Block(heading=heading, pictures=[picture], fold="Figure: every quantity at every checkpoint"))
    behind, order = study.table(LAGS), study.table(ORDER)
    changes, depends, ablated = study.table(LOSS_CHANGES), study.table(DEPENDENCE_ONSETS), study.table(DEPENDENCE)
    ability = str(order["ability"].iloc[0]) if len(order) else ""
    return [
        *tabled(
            "What forms first, by the scores of heads",
            first_table(study.table(ONSETS), order, ability),
            orders(order),
            name="first",
        ),
        *tabled(
            "Parts of the circuit, by their effects, compared with the ability",
            lag_table(behind),
            lags(behind),
            name="lags",
            folded=True,
        ),
        *tabled("Where the loss changes its slope", loss_table(changes, behind), losses(changes, behind), folded=True),
        *tabled(
            "When the ability starts to depend on the circuit",
            dependence_table(depends, ablated),
            dependences(depends),
            name="dependence",
            folded=True,
            reading=DEPENDS,
        ),
        *blocks,
    ]


def _begins(rows: pd.DataFrame) -> str:
    """What step 0 is: the untrained model, if the run has later steps; a single step may be numbered 0."""
    steps = rows["step"].unique()
    return "; step 0 is the untrained model" if 0 in steps and len(steps) > 1 else ""


def orders(order: pd.DataFrame) -> list[str]:
    """For each training run with a circuit, the order of previous-token head, induction head and ability."""
    sentences = []
    for (size, _), rows in order.groupby(["size", "seed"], sort=False):
        first = rows.drop_duplicates(["quantity_a", "quantity_b"])
        wanted = first[(first["quantity_a"] != first["quantity_b"]) & ~_is_redundant(first)]
        if parts := [_order(row) for row in wanted.to_dict("records")]:
            sentences.append(f"At {size}: {'; '.join(parts)}.")
    return sentences


def lags(behind_ability: pd.DataFrame) -> list[str]:
    """For each training run with a circuit, how many of its parts come before the ability and how many after it."""
    sentences = []
    for (size, _), rows in behind_ability.groupby(["size", "seed"], sort=False):
        kinds = []
        for quantity, words in {"effect": "heads and MLPs", "edge effect": "edges"}.items():
            counts = rows[rows["quantity"] == quantity]["verdict"].value_counts()
            if n := int(counts.sum()):
                listed = ", ".join(LAG_WORDS[one].format(n=counts[one]) for one in LAG_WORDS if one in counts)
                kinds.append(f"of the circuit's {n} {words}, {listed}")
        if kinds:
            sentences.append(
                f"At {size}, whether half of a part's final effect is reached before the ability or after it: "
                f"{'; '.join(kinds)}."
            )
    return sentences


def losses(changes: pd.DataFrame, behind_ability: pd.DataFrame) -> list[str]:
    """For each training run with a circuit, the steps at which the slope of its held-out loss changes."""
    sentences = []
    for size, seed in behind_ability[["size", "seed"]].drop_duplicates().itertuples(index=False):
        rows = changes[(changes["size"] == size) & (changes["seed"] == seed)]
        found = [
            f"between steps {step(row['before'])} and {step(row['after'])} [{step(row['ci_low'])}, "
            f"{step(row['ci_high'])}]"
            for row in rows.dropna(subset="before").to_dict("records")
        ]
        verdict = rows["verdict"].iloc[0]
        none = "no change is seen" if verdict == LossVerdict.NO_CHANGE else str(verdict)
        p_value = rows["p_value"].iloc[0] if "p_value" in rows else None
        p = "" if is_missing(p_value) else f" (p = {number(p_value, Kind.P_VALUE)})"
        where = f"changes {joined(found)}{p}" if found else none
        sentences.append(f"Slope of the held-out loss at {size}: {where}.")
    return sentences


def dependences(onsets: pd.DataFrame) -> list[str]:
    """For each training run with a circuit, when the ability starts to depend on its edges and on its heads."""
    sentences = []
    chosen = onsets[onsets["kind"].isin([*RANDOM_CHOICES]) & (onsets["metric"] != "accuracy")]
    for (size, _, kind), rows in chosen.groupby(["size", "seed", "kind"], sort=False):
        lost = "; ".join(_from_when(row) for row in rows.to_dict("records"))
        part = "edges" if kind == "edges" else "heads"
        sentences.append(f"At {size}, without the circuit's {part}, the ability loses {lost}.")
    return sentences


def _order(row: Mapping[Any, Any]) -> str:
    """Which of two quantities comes first, with the shares of bootstrap samples."""
    a, b = (_part(row[f"quantity_{end}"], row[f"component_{end}"]) for end in "ab")
    if pd.isna(row["before"]):
        return f"{a} and {b}: {row['answer']}"
    if max(row["before"], row["after"]) < SURE:
        before, after, tie = (number(row[name]) for name in ("before", "after", "tie"))
        shares = f"of the bootstrap samples {a} first in {before}, {b} first in {after}, neither in {tie}"
        return f"{a} and {b}: {row['answer']}" + (f" ({shares})" if row["tie"] < ROUNDS_TO_ONE else "")
    first, second = (a, b) if row["before"] > row["after"] else (b, a)
    return f"{first} before {second} (in {number(max(row['before'], row['after']))} of bootstrap samples)"


def _from_when(row: Mapping[Any, Any]) -> str:
    """The step from which on the ability loses more than a criterion requires, or why there is none."""
    n = row["n_random"]
    random = f"{n} {RANDOM_CHOICES[row['kind']][n != 1]}"
    if row["verdict"] == DependenceVerdict.UNDEFINED:
        return f"an undefined amount compared with {random}"
    more = f"more than without {random}" if row["criterion"] == DependenceCriterion.ABOVE_RANDOM else HALF
    if pd.isna(row["first_with"]):
        when = (
            "at an earlier step, but not at the last"
            if row["verdict"] == DependenceVerdict.LOST_AGAIN
            else "at no step"
        )
        return f"{more} {when} ({row['verdict']})"
    interval = f"[{step(row['ci_low'])}, {step(row['ci_high'])}]"
    return f"{more} from step {step(row['first_with'])} {interval} on{DOUBTS.get(row['verdict'], '')}"


def _is_redundant(rows: pd.DataFrame) -> pd.Series:
    """Whether a row is about copying, which repeats the induction head, or about an effect, which `lags` reports."""
    redundant = ["copying", "effect", "edge effect"]
    return rows["quantity_a"].isin(redundant) | rows["quantity_b"].isin(redundant)


def _part(quantity: str, component: str) -> str:
    """The name of a quantity in a sentence."""
    return "the ability" if component == "model" else f"{quantity.replace('_', '-')} head {component}"


shelf.add(
    Section(
        name="formation",
        place=50,
        title="How it forms",
        lead="A part of the circuit that appears after the ability cannot have caused it.",
        reads=(FORMATION, ORDER, LAGS, LOSS_CHANGES, DEPENDENCE_ONSETS, DEPENDENCE),
        nothing="no checkpoint was followed",
        vocabularies=(vocabulary.LAG, vocabulary.DEPENDENCE, vocabulary.LOSS, vocabulary.TERMS),
        blocks=forms,
    )
)
