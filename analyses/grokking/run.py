"""Follow models that grok modular addition, and say in which order their progress measures move.

python analyses/grokking/run.py              # the family that `interp-emerge train grokking` grows
python analyses/grokking/run.py DIRECTORY    # any other of a recipe of addition
python analyses/grokking/run.py --keep       # writes the tables of README.md and figure.svg as well
"""

import sys
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import forming

PAGE = Path(__file__).with_name("README.md")
START, END = "<!-- measured -->\n", "<!-- end of measured -->"
SHOWN = [
    *("train_loss", "test_loss", "restricted_test_loss", "restricted_random", "excluded_loss", "excluded_random"),
    *("n_key", "key_share", "gini_logits", "gini_embedding", "weight_norm"),
]
DRAWN = ("train_loss", "test_loss", "restricted_test_loss", "excluded_loss")


def main(directory: str = "grown/grokking", *, keep: bool = False) -> None:
    """Print the course of every training run, the onset of every measure, and its order with the test loss."""
    try:
        recipe = ie.training.grown_recipe(directory)
        family = ie.load_family(directory)
    except ie.InterpEmergeError as error:
        sys.exit(str(error))
    measured = forming.measure_progress(family, modulus=recipe.modulus, train_pairs=recipe.train_pairs)
    parts = []
    runs = [(size, seed) for size in family.sizes for seed in family.seeds(size)]
    for size, seed in runs:
        run = measured[(measured["size"] == size) & (measured["seed"] == seed)]
        last = forming.addition_logits(family.load(size, "last", seed), modulus=recipe.modulus)
        named = ", ".join(map(str, forming.key_frequencies(last)))
        steps = family.spaced_steps(size, seed, at_most=14)
        course = run[run["step"].isin(steps)].pivot(index="step", columns="measure", values="value")[SHOWN]
        parts.append(f"Seed {seed}, key frequencies at the end {named}:\n\n{as_markdown(course.reset_index())}")
    for scale in ("linear", "log"):
        onsets = forming.progress_onsets(measured, scale=scale)
        parts.append(f"Half-way of each measure on a {scale} scale, between which steps:\n\n{intervals(onsets)}")
        parts.append(in_order(onsets))
    text = "\n\n".join(parts)
    print(text)
    if keep:
        before, _, rest = PAGE.read_text().partition(START)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{START}\n{text}\n\n{END}{after}")
        losses = measured[measured["measure"].isin(DRAWN)].assign(run="seed " + measured["seed"].astype(str))
        about = {"colour": "measure", "panel": "run", "titles": ("training step", "loss, nats (log scale)")}
        chart = ie.figures.interval_lines(losses, x="step", scales=("symlog", "log"), **about)
        chart.save(PAGE.with_name("figure.svg"))


def intervals(onsets: pd.DataFrame) -> str:
    """One row a measure, one column a seed; the earliest in the first seed first."""
    between = onsets["last_without"].map("{:.0f}".format) + " to " + onsets["first_with"].map("{:.0f}".format)
    reached = onsets["first_with"].notna()
    text = between.where(reached, onsets["verdict"]) + (" (" + onsets["verdict"] + ")").where(reached, "")
    named = onsets.assign(text=text, run="seed " + onsets["seed"].astype(str))
    wide = named.pivot(index="measure", columns="run", values="text")
    return as_markdown(wide.loc[onsets["measure"].unique()].reset_index())


def in_order(onsets: pd.DataFrame) -> str:
    """In how many runs a measure is half-way before the test loss, as far as the checkpoints show."""
    lines, runs = [], onsets.groupby(["size", "seed"], sort=False)
    for measure in ("train_loss", "restricted_loss", "restricted_test_loss", "excluded_loss", "gini_embedding"):
        found = {"before": 0, "after": 0, "undecided": 0, "one never moves": 0}
        for _, run in runs:
            rows = run.set_index("measure").to_dict("index")
            first, second = rows[measure], rows["test_loss"]
            if pd.isna(first["first_with"]) or pd.isna(second["first_with"]):
                found["one never moves"] += 1
            elif first["first_with"] <= second["last_without"]:
                found["before"] += 1
            elif second["first_with"] <= first["last_without"]:
                found["after"] += 1
            else:
                found["undecided"] += 1
        counts = ", ".join(f"{count} {what}" for what, count in found.items() if count)
        lines.append(f"- `{measure}` against `test_loss`: {counts} (of {runs.ngroups} runs)")
    return "\n".join(lines)


def as_markdown(frame: pd.DataFrame) -> str:
    """A table whose numbers have three digits."""
    cells = frame.map(lambda value: f"{value:.3g}" if isinstance(value, float) else str(value))
    rows = [list(frame.columns), ["---"] * frame.shape[1], *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    options = [word for word in sys.argv[1:] if word != "--keep"]
    main(*options, keep="--keep" in sys.argv[1:])
