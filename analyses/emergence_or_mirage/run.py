"""Whether the jump of each ability is due to the model or to the metric, over sizes and over training.

python analyses/emergence_or_mirage/run.py                        # the bundled family: prints the tables
python analyses/emergence_or_mirage/run.py FAMILY ABILITY ...     # any other: a name, or a directory of checkpoints
python analyses/emergence_or_mirage/run.py --keep                 # and writes README.md's tables and figure.svg
"""

import sys
from pathlib import Path

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import scale

HERE = Path(__file__).parent
START, END = "<!-- measured -->\n", "<!-- end of measured -->"
ABILITIES = ("markov", "indirect_object", "induction", "modular_addition", "fact_recall", "two_hop")
PROMPTS, MOST_STEPS = 256, 12


def main(name: str = "miniature", *asked: str, keep: bool) -> None:
    """Print the verdicts over both axes, then forms, correlations and seeds."""
    family, abilities = ie.load_family(name), [ie.load_ability(one) for one in asked or ABILITIES]
    largest, axis = family.sizes[-1], "tokens" if family.tokens_per_step else "loss"
    runs = [(seed, family.spaced_steps(largest, seed, at_most=MOST_STEPS)) for seed in family.seeds(largest)]
    steps = [(largest, step, seed) for seed, taken in runs for step in taken if step]
    over_sizes = ie.measure_grid(family, abilities, n=PROMPTS)
    over_steps = ie.measure_grid(family, abilities, models=steps, n=PROMPTS)
    sizes = [scale.Ladder.from_frame(over_sizes, ability) for ability in abilities]
    training = [scale.Ladder.from_frame(over_steps, ability, axis=axis, family=family) for ability in abilities]
    axes = {"Over sizes, at the last step": sizes, f"Over training at {largest}, by {axis}": training}
    found = {title: [scale.mirage_check(ladder) for ladder in ladders] for title, ladders in axes.items()}
    parts = {title: markdown([verdict(one) for one in checks]) for title, checks in found.items()}
    parts["Form over sizes: Akaike weights, and how well the best form fits"] = forms(over_sizes, abilities)
    parts["Correlation of a prompt's score with the size of the model, down the ladder"] = correlations(sizes)
    parts["Seeds at sizes where they differ"] = seeds(over_sizes, abilities)
    text = "\n".join(f"### {title}\n\n{part}\n" for title, part in parts.items())
    print(text)
    if keep:
        page = HERE / "README.md"
        before, _, rest = page.read_text().partition(START)
        page.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")
        table = pd.concat([one.to_frame().assign(over=title) for title, checks in found.items() for one in checks])
        over = {"thing": "ability", "colour": "metric", "panel": "over", "value": "concentration", "mark": 0.5}
        chart = ie.figures.interval_dots(table, title="concentration of the rise in one gap", **over)
        chart.save(HERE / "figure.svg")


def verdict(found) -> dict:
    one, other = found.thresholded, found.continuous
    shapes = {shape.metric: f"{shape.shape}, {written(**vars(shape.concentration))}" for shape in (one, other)}
    jump, shared = ("{} to {}".format(*found.window), f"{found.shared}") if found.window[0] else ("", "")
    about = {"ability": found.ability, "verdict": found.verdict}
    return {**about, **shapes, "jump": jump, "shared": shared, "reason": found.reason}


def forms(frame: pd.DataFrame, abilities: list) -> str:
    rows, table = [], pd.concat([scale.trend_table(frame, ability) for ability in abilities])
    for (ability, metric), here in table.groupby(["ability", "metric"], sort=False):
        weights = {row["form"]: f"{row['weight']:.2f}" for row in here.to_dict("records")}
        best = here.sort_values("weight", na_position="first").iloc[-1]
        judged = {"verdict": best["verdict"], "p of the best": f"{best['p_value']:.2g}"}
        rows.append({"ability": ability, "metric": metric, **weights, **judged})
    return markdown(rows)


def correlations(ladders: list) -> str:
    rows = []
    for ladder in ladders:
        table = scale.scale_correlation(ladder).set_index("metric").drop("logit_diff")
        intervals = table[["per_prompt", "per_prompt_low", "per_prompt_high"]].itertuples(name=None)
        rows.append({"ability": ladder.ability} | {metric: written(*interval) for metric, *interval in intervals})
    return markdown(rows)


def seeds(frame: pd.DataFrame, abilities: list) -> str:
    rows = []
    for ability in abilities:
        table = scale.success_by_size(frame, ability)
        for row in table[(table["n_success"] > 0) & (table["n_success"] < table["n_seeds"])].to_dict("records"):
            about = {"ability": ability.name, "size": row["size"], "accuracy by seed": row["values"]}
            chance = {"P(success)": written(row["p"], row["ci_low"], row["ci_high"]), "shape": row["shape"]}
            rows.append({**about, "successes": f"{row['n_success']} of {row['n_seeds']}", **chance})
    return markdown(rows) if rows else "None."


def written(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def markdown(rows: list[dict]) -> str:
    lines = [[*rows[0]], ["---"] * len(rows[0]), *(map(str, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "--keep"), keep="--keep" in sys.argv)
