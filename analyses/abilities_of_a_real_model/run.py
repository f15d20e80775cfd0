"""Measure every ability in English and code on a real model, behind each token that could stand first in a prompt.

python analyses/abilities_of_a_real_model/run.py MODEL_DIRECTORY          # about ten minutes for 135M parameters
python analyses/abilities_of_a_real_model/run.py MODEL_DIRECTORY --keep   # also writes measured.csv and figure.svg
"""

import sys
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.abilities import held_out_loss, measure, shelf
from interp_emerge.stats import mean_interval

HERE, PAIRS, SEED = Path(__file__).parent, 64, 0
FIRST = (True, "<|endoftext|>", False)
"""What stands first: the token that the tokenizer calls beginning of text, this token, or nothing."""
MEASURED = ("accuracy", "choice_prob", "logit_diff")


def main(directory: str, *, keep: bool) -> None:
    """Print one row for each ability and first token."""
    family = ie.load_family(directory)
    rows = []
    for first in FIRST:
        model = family.load(family.sizes[-1], prepend_bos=first)
        name = model.lexicon.recorded(model.bos) or "none"
        loss = held_out_loss(model, family.held_out_text())
        for ability in shelf:
            if ability.language != "miniature":
                rows += [{"first": name, "held_out_loss": loss, **row} for row in rows_of(model, ability)]
                print(f"{name}, {ability.name}", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if keep:
        table.round(4).to_csv(HERE / "measured.csv", index=False)
        draw(table)


def rows_of(model: ie.HookedModel, ability: ie.abilities.Ability) -> list[dict]:
    """One row for each quantity, with its 95% interval over the pairs."""
    clean, corrupt = (
        values_of(measure(model, [ability], n=PAIRS, seed=SEED, sample=sample))
        for sample in (ie.abilities.Ability.sample, corrupted)
    )
    difference = clean["logit_diff"]
    quantities = {
        "accuracy": clean["accuracy"],
        "answer preferred": (difference > 0).astype(float),
        "logit difference": difference,
        "gap": difference - corrupt["logit_diff"],
    }
    found = []
    for name, values in quantities.items():
        interval = mean_interval(values, share=name in ("accuracy", "answer preferred"))
        about = {"ability": ability.name, "chance": ability.chance, "quantity": name, "n_pairs": len(values)}
        found.append({**about, "value": interval.value, "ci_low": interval.low, "ci_high": interval.high})
    return found


def values_of(measured: pd.DataFrame) -> dict:
    """One array for each metric, in the order of the pairs."""
    return {metric: rows["value"].to_numpy() for metric, rows in measured.groupby("metric")}


def corrupted(ability: ie.abilities.Ability, model: ie.HookedModel, n: int, seed: int) -> ie.PromptPairs:
    """The same pairs with the corrupted prompts in place of the clean ones, but the answers of the clean ones."""
    pairs = ability.sample(model, n, seed)
    each = [pairs[row] for row in range(len(pairs))]
    prompts = [[int(token) for token in pair.corrupt[0]] for pair in each]
    return ie.PromptPairs(clean=prompts, corrupt=prompts, answer=pairs.answer, foil=pairs.foil)


def draw(table: pd.DataFrame) -> None:
    """Accuracy and share of pairs whose answer is preferred to the foil, by ability and first token."""
    shown = table[table["quantity"].isin(["accuracy", "answer preferred"])]
    ie.figures.interval_dots(
        shown, thing="ability", colour="first", panel="quantity", ends=("ci_low", "ci_high"), title="share of pairs",
        mark=0.5,
    ).save(HERE / "figure.svg")  # fmt: skip


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
