"""Write the sections of docs/abilities.md: every ability with an example, then what run.py measured.

python analyses/abilities_of_a_real_model/page.py MODEL_DIRECTORY   # its tokenizer writes the examples
"""

import sys
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.abilities import shelf

HERE = Path(__file__).parent
PAGE, BEGIN = HERE.parents[1] / "docs" / "abilities.md", "## Each ability\n"
QUANTITIES = ("accuracy", "answer preferred", "logit difference", "gap")
LANGUAGES = {"": "random tokens", "miniature": "the miniature language"}


def main(directory: str) -> None:
    """Replace everything on the page from the first section on abilities."""
    family = ie.load_family(directory)
    models = {"miniature": ie.load_family("miniature").load("3k")}
    real = family.load(family.sizes[-1], prepend_bos=False)
    sections = [section(models.get(ability.language, real), ability) for ability in shelf]
    head = PAGE.read_text().split(BEGIN)[0]
    measured = tables(pd.read_csv(HERE / "measured.csv", keep_default_na=False))
    PAGE.write_text(f"{head}{BEGIN}\n{''.join(sections)}## Measured on a real model\n\n{measured}")


def section(model: ie.HookedModel, ability: ie.abilities.Ability) -> str:
    """One ability: what it is, a pair for each corruption, and what can be chosen."""
    rows = []
    for name, about in ability.corruptions.items():
        pair = ability.sample(model, 1, corruption=name)[0]
        if not rows:
            answer, foil = (", ".join(code(model, ids[0])) for ids in (pair.answers, pair.foils))
            rows.append(("prompt", f"{code(model, pair.clean)[0]} → {answer}; foil {foil}"))
        rows.append((f"corruption *{name}*", f"{about}: {code(model, pair.corrupt)[0]}"))
    rows += [
        ("positions", ", ".join(ability.positions)),
        ("variables", ", ".join(ability.variables)),
        ("wordings", f"{len(ability.templates)}: {'; '.join(ability.templates)}"),
        ("variations", ", ".join(ability.variations) or "none"),
        ("tokenizer", ability.requirements),
    ]
    table = "".join(f"| {what} | {text} |\n" for what, text in rows)
    source = f"[{ability.source.authors}, {ability.source.year}]({ability.source.url})"
    written = LANGUAGES.get(ability.language, ability.language)
    about = f"{ability.summary.capitalize()} ({written}). Source: {source}. Chance {ability.chance:.3g}."
    return f"### {ability.name}\n\n{about}\n\n| | |\n|---|---|\n{table}\n"


def code(model: ie.HookedModel, ids) -> list[str]:
    """Token ids as code in Markdown: one text for each row of a prompt, or for each token of a list (at most six)."""
    rows = ids[:, len(model.bos) :].tolist() if ids.ndim == 2 else [[one] for one in ids.tolist() if one >= 0]
    texts = [model.lexicon.tokenizer.decode(row) for row in rows]
    shown = [f"`{text}`".replace("\n", "⏎").replace("|", "\\|") for text in texts]
    return [*shown[:6], f"and {len(shown) - 6} more"] if len(shown) > 6 else shown


def tables(measured: pd.DataFrame) -> str:
    """A table for each token that stands first."""
    parts = []
    for first, rows in measured.groupby("first", sort=False):
        loss, n = float(rows["held_out_loss"].iloc[0]), int(rows["n_pairs"].iloc[0])
        parts.append(f"**First token `{first}`**: held-out loss {loss:.2f} nats per token; {n} pairs each.\n\n")
        parts.append(f"| ability | chance | {' | '.join(QUANTITIES)} |\n|---|---|{'---|' * len(QUANTITIES)}\n")
        for name, of in rows.groupby("ability", sort=False):
            values = dict(zip(of["quantity"], map(interval, of["value"], of["ci_low"], of["ci_high"]), strict=True))
            shown = " | ".join(values[quantity] for quantity in QUANTITIES)
            parts.append(f"| {name} | {of['chance'].iloc[0]:.2f} | {shown} |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main(*sys.argv[1:])
