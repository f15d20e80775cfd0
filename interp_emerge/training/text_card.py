"""The card of a family that was trained on text: `card.json` has the numbers, `README.md` shows them."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from jinja2 import StrictUndefined, Template

from interp_emerge.core.files import write_atomically
from interp_emerge.training._text_run import HELD_OUT, TRAINING, bands
from interp_emerge.training.card import CARD, README, SIZE_COLUMNS, markdown_table
from interp_emerge.training.outcome import Times
from interp_emerge.training.recipe import Recipe, SizeRecipe
from interp_emerge.training.text_tokens import END, TextFacts
from interp_emerge.training.trainer import read_losses

SHOWN_NAMES = 12
"""At most so many held-out documents are named in the card; `text.json` has all."""


def write_text_card(recipe: Recipe, directory: Path, *, vocabulary: int, context: int, batch: int) -> None:
    """Write the card of a family whose training is complete, for people (`README.md`) and for programs."""
    facts, times = TextFacts.read(directory), Times.read(directory)
    sizes, losses = size_rows(recipe), final_losses(read_losses(directory), context)
    rounded = losses.map(lambda value: f"{value:.3f}" if isinstance(value, float) else value)
    rates = sizes["learning_rate"].map("{:g}".format)
    template = Path(__file__).with_name("text_card.md.j2").read_text()
    text = Template(template, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True).render(
        recipe=recipe,
        facts=facts,
        times=times,
        vocabulary=vocabulary,
        context=context,
        batch=batch,
        end=END,
        names=", ".join(facts.held_out[:SHOWN_NAMES]) + (", …" if len(facts.held_out) > SHOWN_NAMES else ""),
        seen=recipe.n_steps * batch * (context - 1),
        sizes=markdown_table(sizes.assign(learning_rate=rates).set_axis(SIZE_COLUMNS, axis=1)),
        losses=markdown_table(rounded),
    )
    write_atomically(directory / README, text.encode())
    content = {
        "recipe": recipe.hash,
        "text": {"hash": facts.hash, "bytes": facts.n_bytes, "training_tokens": facts.n_training_tokens},
        "times": asdict(times),
        "sizes": sizes.to_dict("records"),
        "losses": losses.to_dict("records"),
    }
    write_atomically(directory / CARD, json.dumps(content, indent=1).encode())


def size_rows(recipe: Recipe) -> pd.DataFrame:
    """One row for each size: its shape, non-embedding parameters, learning rate and number of seeds."""
    rows = [
        (size.name, size.n_layers, size.d_model, size.n_heads, n_parameters(size), size.learning_rate, size.n_seeds)
        for size in recipe.sizes
    ]
    columns = ["size", "n_layers", "d_model", "n_heads", "n_parameters", "learning_rate", "n_seeds"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def n_parameters(size: SizeRecipe) -> int:
    """Number of parameters of a GPT-NeoX model without its embedding and unembedding."""
    width = size.d_model
    attention, mlp, norms = 4 * width * width + 4 * width, 8 * width * width + 5 * width, 4 * width
    return size.n_layers * (attention + mlp + norms) + 2 * width


def final_losses(losses: pd.DataFrame, context: int) -> pd.DataFrame:
    """One row for each model: losses at the last step, and the late minus the early loss, nats per token."""
    early, late = bands(context)
    last = losses[losses["step"] == losses["step"].max()]
    wide = last.pivot(index=["size", "seed"], columns="document", values="loss")[[TRAINING, HELD_OUT, early, late]]
    wide["late minus early"] = wide[late] - wide[early]
    order = pd.MultiIndex.from_frame(last[["size", "seed"]].drop_duplicates().sort_values("size", kind="stable"))
    return wide.loc[order].reset_index().rename_axis(columns=None)
