"""Whether an answer of several tokens jumps because all of them have to be correct, and its rate before the jump.

python analyses/emergence_or_mirage/several_tokens.py                # the bundled family, the repeat of a segment
python analyses/emergence_or_mirage/several_tokens.py FAMILY         # any other: a name, or a directory of checkpoints
python analyses/emergence_or_mirage/several_tokens.py --keep         # and writes README.md's tables, several_tokens.svg
"""

import sys
from functools import partial
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence.scale import continuations

HERE = Path(__file__).parent
START, END = "<!-- measured on several tokens -->\n", "<!-- end of measured on several tokens -->"
PROMPTS, MOST_STEPS, PASSES, MOST, LENGTHS = 256, 12, 1000, 5_000_000, (1, 2, 3)
MEASURES = ("token_accuracy", "exact_match", "power", "product", "excess", "edit_distance", "log_prob")


def main(name: str = "miniature", *, keep: bool) -> None:
    """Print the verdicts and measures over both axes, then sampled rates of the smaller models."""
    family = ie.load_family(name)
    largest, axis = family.sizes[-1], "tokens" if family.tokens_per_step else "loss"
    runs = [(seed, family.spaced_steps(largest, seed, at_most=MOST_STEPS)) for seed in family.seeds(largest)]
    steps = [(largest, step, seed) for seed, taken in runs for step in taken if step]
    sizes, training = follow(family, None, "parameters"), follow(family, steps, axis)
    parts = {}
    for title, ladder in {"sizes": sizes, f"training at {largest}, by {axis}": training}.items():
        checks = [continuations.several_tokens_check(ladder, continuous=one) for one in ("log_prob", "token_accuracy")]
        parts[f"Over {title}"] = "\n".join(f"- {check}" for check in checks) + f"\n\n{measures(ladder)}"
    parts["Sampled until enough pass"] = sampled(sizes)
    text = "\n".join(f"### {title}\n\n{part}\n" for title, part in parts.items())
    print(text)
    if keep:
        page = HERE / "README.md"
        before, _, rest = page.read_text().partition(START)
        page.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")
        titles = ("non-embedding parameters (log scale)", "fraction of tokens or of prompts")
        ie.figures.interval_lines(curves(sizes), x="place", colour="measure", titles=titles).save(
            HERE / "several_tokens.svg"
        )


def follow(family, models, axis: str):
    """Answers of the models to the prompts of induction, continued to the end of the segment."""
    ability = ie.load_ability("induction")

    about = {"ability": ability.name, "chance": ability.chance}
    return continuations.several_tokens_grid(
        family, partial(ability.sample, n=PROMPTS), models=models, axis=axis, **about
    )


def measures(ladder) -> str:
    rows = ladder.to_frame().rename(columns={"point": "model", "n_seeds": "seeds"}).to_dict("records")
    return markdown([{n: row[n] for n in ("model", "seeds")} | {n: written(row, n) for n in MEASURES} for row in rows])


def curves(ladder) -> pd.DataFrame:
    """The drawn curves: one row for each point and measure."""
    names = {"token_accuracy": "a token", "exact_match": f"all {ladder.length}", "power": f"p^{ladder.length}"}
    columns = ["place", "value", "value_low", "value_high"]
    parts = [ladder.to_frame()[["place", n, f"{n}_low", f"{n}_high"]].set_axis(columns, axis=1) for n in names]
    return pd.concat(part.assign(measure=to) for part, to in zip(parts, names.values(), strict=True))


def sampled(ladder) -> str:
    """Rates of runs that are expected to pass on fewer than one prompt, then the law fitted to all runs."""
    rows, laws = [], []
    for length in LENGTHS:
        table = continuations.sampled_rates(ladder, length, passes=PASSES, most=MOST)
        for row in table[table["exact"] < 1 / table["n_pairs"]].to_dict("records"):
            about = {"tokens": length, "run": f"{row['point']}, seed {row['run']}"}
            counts = {
                "greedy": f"{row['greedy']} of {row['n_pairs']}",
                "passed": f"{row['passes']} of {row['samples']}",
            }
            rows.append({**about, **counts, "rate": written(row, "rate", ".1e"), "exactly": f"{row['exact']:.1e}"})
        laws.append(f"- {length} of the tokens: {continuations.rate_law(table)}")
    return f"{markdown(rows)}\n\n" + "\n".join(laws)


def written(row: dict, name: str, digits: str = ".2f") -> str:
    value, low, high = (f"{row[f'{name}{end}']:{digits}}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]".replace("-0.00", "0.00")


def markdown(rows: list[dict]) -> str:
    if not rows:
        return "None."
    lines = [[*rows[0]], ["---"] * len(rows[0]), *(map(str, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
