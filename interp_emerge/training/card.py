"""The card of a trained family: `card.json` has the numbers, `README.md` shows them as a Hugging Face model card."""

import json
from pathlib import Path

import pandas as pd
from jinja2 import StrictUndefined, Template

from interp_emerge.abilities import _language as language
from interp_emerge.core.files import write_atomically
from interp_emerge.stats.intervals import Interval
from interp_emerge.training.corpus import CONTEXT
from interp_emerge.training.outcome import FLOOR_DOCUMENTS, PAIRS, Outcome, measure_outcome
from interp_emerge.training.recipe import Recipe
from interp_emerge.training.trainer import HELD_OUT_DOCUMENTS

CARD, README = "card.json", "README.md"
SIZE_COLUMNS = ["size", "layers", "width", "heads", "non-embedding parameters", "learning rate", "seeds"]


def write_card(directory: Path, recipe: Recipe) -> Path:
    """Write the card of a family whose training is complete; returns the path of its `README.md`.

    Raises:
        InputError: the directory contains a family of another recipe, or one whose training is incomplete.
        ModelError: a checkpoint is damaged.
    """
    outcome = measure_outcome(directory, recipe)
    write_atomically(directory / README, to_markdown(outcome).encode())
    write_atomically(directory / CARD, json.dumps(outcome.to_dict(), indent=1).encode())
    return directory / README


def to_markdown(outcome: Outcome) -> str:
    """The outcome as text in Markdown, with the front matter that the Hugging Face hub reads."""
    text = Path(__file__).with_name("card.md.j2").read_text()
    return Template(text, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True).render(
        outcome=outcome,
        words=len(language.VOCABULARY),
        context=CONTEXT,
        held_out=HELD_OUT_DOCUMENTS,
        floor_documents=FLOOR_DOCUMENTS,
        pairs=PAIRS,
        smallest=f"{outcome.sizes['n_parameters'].min():,}",
        largest=f"{outcome.sizes['n_parameters'].max():,}",
        never=outcome.abilities.loc[outcome.abilities["never_emerges"], "ability"].tolist(),
        sizes=size_table(outcome),
        losses=loss_table(outcome),
        accuracy=accuracy_table(outcome),
    )


def size_table(outcome: Outcome) -> str:
    """Markdown table with one row for each size."""
    frame = outcome.sizes.assign(
        n_parameters=outcome.sizes["n_parameters"].map("{:,}".format),
        learning_rate=outcome.sizes["learning_rate"].map("{:g}".format),
    )
    return markdown_table(frame.set_axis(SIZE_COLUMNS, axis=1))


def loss_table(outcome: Outcome) -> str:
    """Markdown table of losses: a row for each model, a column for each kind of document, a last row of floors."""
    wide = _one_row_a_model(outcome.losses.assign(text=outcome.losses["loss"].map("{:.3f}".format)), "document")
    floors = outcome.losses.groupby("document")["floor"].first()
    return markdown_table(_with_row(wide, "floor", [f"{floors[kind]:.3f}" for kind in wide.columns[1:]]))


def accuracy_table(outcome: Outcome) -> str:
    """Markdown table of accuracies: a row for each model, a column for each ability, a last row of chance levels."""
    text = [str(Interval.of(row, "accuracy", "ci")) for row in outcome.accuracy.to_dict("records")]
    wide = _one_row_a_model(outcome.accuracy.assign(text=text), "ability")
    known = outcome.abilities.set_index("ability")
    table = _with_row(wide, "chance", [f"{known['chance'][name]:.2f}" for name in wide.columns[1:]])
    return markdown_table(table.rename(columns={name: f"{name} (control)" for name in known.index[known["control"]]}))


def markdown_table(frame: pd.DataFrame) -> str:
    """A frame of text and numbers as a Markdown table."""
    rows = [list(frame.columns), ["---"] * frame.shape[1], *frame.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _one_row_a_model(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Pivot `text` to one row for each model and one column for each value of `column`, both in order of appearance."""
    further = frame["size"] + ", seed " + frame["seed"].astype(str)
    named = frame.assign(model=frame["size"].where(frame["seed"] == 0, further))
    wide = named.pivot(index="model", columns=column, values="text")
    ordered = wide.loc[named["model"].unique(), named[column].unique()].reset_index()
    return ordered.set_axis([str(name) for name in ordered.columns], axis=1)


def _with_row(frame: pd.DataFrame, name: str, values: list[str]) -> pd.DataFrame:
    bold = [f"**{text}**" for text in (name, *values)]
    return pd.concat([frame, pd.DataFrame([bold], columns=frame.columns)])
