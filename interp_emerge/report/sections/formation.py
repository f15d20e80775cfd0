"""How the circuit forms over training: what comes first, and when the ability comes to depend on it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from interp_emerge.emergence.forming.dependence import DEPENDENCE_ONSETS, DependenceCriterion, DependenceVerdict
from interp_emerge.emergence.forming.formation import FORMATION
from interp_emerge.emergence.forming.loss_changes import LOSS_CHANGES, LossVerdict
from interp_emerge.emergence.forming.onsets import ORDER
from interp_emerge.emergence.forming.order import LAGS, LagVerdict
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section, chart, noted, parts

SURE = 0.995
"""Share that is 1.00 when it is written."""
LAG_WORDS = {
    LagVerdict.LEADS: "come before it",
    LagVerdict.LAGS: "after it",
    LagVerdict.UNRESOLVED: "between the same checkpoints or not to be told",
    LagVerdict.UNDEFINED: "end within noise",
}

DOUBTS = {DependenceVerdict.TOO_FEW: ", too few for p = 0.05", DependenceVerdict.UNDECIDED: ", undecided"}


def forms(study: StudyRecord) -> list[Block]:
    """Quantities at every checkpoint, and in sentences their order."""
    blocks = []
    for heading, names, rows in parts(study.table(FORMATION), ["ability"]):
        caption = (
            "Each quantity at every checkpoint; step 0 is the untrained model. Faithfulness is that of the last step's "
            "circuit, and is left out where it is undefined. Bands are 95% intervals over prompts. "
            "The part with the highest value at the last step stands out and is named; the others are faint."
        )
        picture = chart("formation", rows, f"Formation of {names['ability']}", caption)
        blocks.append(Block(heading=heading, pictures=[picture]))
    behind = study.table(LAGS)
    return [
        *blocks,
        *noted("What forms first", [*orders(study.table(ORDER)), *lags(behind)]),
        *noted("Where the loss changes its slope", losses(study.table(LOSS_CHANGES), behind)),
        *noted("When the ability comes to depend on the circuit", dependences(study.table(DEPENDENCE_ONSETS))),
    ]


def orders(order: pd.DataFrame) -> list[str]:
    """For each run with a circuit, the order of its leading previous-token head, induction head, and the ability."""
    said = []
    for (size, _), rows in order.groupby(["size", "seed"], sort=False):
        first = rows.drop_duplicates(["quantity_a", "quantity_b"])
        wanted = first[(first["quantity_a"] != first["quantity_b"]) & ~_besides(first)]
        if parts := [_order(row) for row in wanted.to_dict("records")]:
            said.append(f"At {size}: {'; '.join(parts)}.")
    return said


def lags(behind: pd.DataFrame) -> list[str]:
    """For each run with a circuit, how many of its parts come before the ability and how many after it."""
    said = []
    for (size, _), rows in behind.groupby(["size", "seed"], sort=False):
        kinds = []
        for quantity, words in {"effect": "heads and MLPs", "edge effect": "edges"}.items():
            counts = rows[rows["quantity"] == quantity]["verdict"].value_counts()
            if n := int(counts.sum()):
                listed = ", ".join(
                    f"{counts[verdict]} {LAG_WORDS[verdict]}" for verdict in LAG_WORDS if verdict in counts
                )
                kinds.append(f"of {n} {words}, {listed}")
        if kinds:
            said.append(f"At {size}, by their effects against the ability: {'; '.join(kinds)}.")
    return said


def losses(changes: pd.DataFrame, behind: pd.DataFrame) -> list[str]:
    """For each run with a circuit, where the slope of its held-out loss changes."""
    said = []
    for size, seed in behind[["size", "seed"]].drop_duplicates().itertuples(index=False):
        rows = changes[(changes["size"] == size) & (changes["seed"] == seed)]
        found = [
            f"between steps {row['before']:.0f} and {row['after']:.0f} [{row['ci_low']:.0f}, {row['ci_high']:.0f}]"
            for row in rows.dropna(subset="before").to_dict("records")
        ]
        verdict = rows["verdict"].iloc[0]
        none = "shows no change of slope" if verdict == LossVerdict.NO_CHANGE else f"has nothing to tell ({verdict})"
        change = f"changes its slope {' and '.join(found)}" if found else none
        said.append(f"At {size}, the held-out loss {change}.")
    return said


def dependences(onsets: pd.DataFrame) -> list[str]:
    """For each run with a circuit, when the ability comes to depend on its edges and on its heads."""
    said = []
    chosen = onsets[onsets["kind"].isin(["edges", "circuit"]) & (onsets["metric"] != "accuracy")]
    for (size, _), runs in chosen.groupby(["size", "seed"], sort=False):
        parts = []
        for kind, rows in runs.groupby("kind", sort=False):
            lost = ", and ".join(_from_when(row) for row in rows.to_dict("records"))
            parts.append(f"With the {'edges' if kind == 'edges' else 'heads'} of its circuit ablated it loses {lost}.")
        said.append(f"At {size}. {' '.join(parts)}")
    return said


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
        if row["criterion"] == DependenceCriterion.ABOVE_RANDOM
        else "half of the last loss"
    )
    if row["verdict"] == DependenceVerdict.UNDEFINED:
        return f"an amount that is undefined against random choices, of which there are {n}"
    if pd.isna(row["first_with"]):
        return f"{more} at no step for good ({row['verdict']})"
    doubt = DOUBTS.get(row["verdict"], "")
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


shelf.add(
    Section(
        name="formation",
        place=50,
        title="How it forms",
        lead="What appears after the ability did not bring it about.",
        reads=(FORMATION, ORDER, LAGS, LOSS_CHANGES, DEPENDENCE_ONSETS),
        nothing="no checkpoint was followed",
        blocks=forms,
    )
)
