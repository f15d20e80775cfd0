"""Whether each ability's jump is the model's or the metric's, over sizes and over training.

python analyses/emergence_or_mirage/run.py          # prints the tables
python analyses/emergence_or_mirage/run.py --keep   # and writes them between the markers of README.md
"""

import sys
from pathlib import Path

import pandas as pd

import interp_emerge as ie

HERE = Path(__file__).parent
START, END = "<!-- measured -->\n", "<!-- end of measured -->"
ABILITIES = ["markov", "indirect_object", "induction", "modular_addition", "fact_recall", "two_hop"]
PROMPTS, LARGEST = 256, "560k"


def main(*, keep: bool) -> None:
    """Print the verdicts over both axes, then what stands behind them."""
    family = ie.load_family("miniature")
    abilities = [ie.load_ability(name) for name in ABILITIES]
    steps = [(LARGEST, step, 0) for step in family.steps(LARGEST) if step]
    over_sizes = ie.measure_grid(family, abilities, n=PROMPTS)
    over_steps = ie.measure_grid(family, abilities, models=steps, n=PROMPTS)
    sizes = [ie.Ladder.from_frame(over_sizes, ability) for ability in abilities]
    training = [ie.Ladder.from_frame(over_steps, ability, axis="tokens", family=family) for ability in abilities]
    parts = {
        "Over sizes, at the last step": verdicts(sizes),
        f"Over the tokens of training, at {LARGEST}": verdicts(training),
        "Correlation of a prompt's score with the size of the model, down the ladder": correlations(sizes),
        "Seeds at sizes where they differ": seeds(over_sizes, abilities),
        "Twelve tokens of induction, over sizes": several_tokens(family),
    }
    text = "\n".join(f"### {title}\n\n{table}\n" for title, table in parts.items())
    print(text)
    if keep:
        page = HERE / "README.md"
        before, _, rest = page.read_text().partition(START)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{START}\n{text}\n{END}{after}")


def verdicts(ladders: list) -> str:
    rows = ["| ability | verdict | accuracy | its concentration | log_prob | its concentration | steepest gap |"]
    rows.append("|" + "---|" * 7)
    for ladder in ladders:
        found = ie.mirage_check(ladder)
        one, other = found.thresholded, found.continuous
        cells = f"{one.shape} | {told(one.concentration)} | {other.shape} | {told(other.concentration)}"
        rows.append(f"| {found.ability} | {found.verdict} | {cells} | {one.before} to {one.after} |")
    return "\n".join(rows)


def correlations(ladders: list) -> str:
    columns = ["log_prob", "prob", "choice_prob", "brier", "accuracy"]
    rows = [f"| ability | {' | '.join(columns)} |", "|" + "---|" * (1 + len(columns))]
    for ladder in ladders:
        table = ie.scale_correlation(ladder).set_index("metric").loc[columns]
        cells = [f"{r.per_prompt:.2f} [{r.per_prompt_low:.2f}, {r.per_prompt_high:.2f}]" for r in table.itertuples()]
        rows.append(f"| {ladder.ability} | {' | '.join(cells)} |")
    return "\n".join(rows)


def seeds(frame: pd.DataFrame, abilities: list) -> str:
    rows = ["| ability | size | accuracy by seed | successes | P(success) | shape |", "|---|---|---|---|---|---|"]
    for ability in abilities:
        table = ie.success_by_size(frame, ability)
        for r in table[(table["n_success"] > 0) & (table["n_success"] < table["n_seeds"])].to_dict("records"):
            chance = f"{r['p']:.2f} [{r['ci_low']:.2f}, {r['ci_high']:.2f}]"
            cells = f"{r['values']} | {r['n_success']} of {r['n_seeds']} | {chance} | {r['shape']}"
            rows.append(f"| {ability.name} | {r['size']} | {cells} |")
    return "\n".join(rows)


def several_tokens(family) -> str:
    rows = ["| size | token accuracy | all right | p^12 | product of positions | edit distance |", "|" + "---|" * 6]
    for size in family.sizes:
        model = family.load(size)
        pairs = ie.load_ability("induction").sample(model, PROMPTS)
        found = ie.several_tokens(model, pairs.clean, ie.induction_continuation(pairs)).to_frame().iloc[-1]
        exact = f"{found.exact_match:.2f} [{found.exact_low:.2f}, {found.exact_high:.2f}]"
        edits = f"{found.edit_distance:.1f} [{found.edit_low:.1f}, {found.edit_high:.1f}]"
        rows.append(
            f"| {size} | {found.token_accuracy:.2f} | {exact} | {found.power:.2f} | {found['product']:.2f} | {edits} |"
        )
    return "\n".join(rows)


def told(interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


if __name__ == "__main__":
    main(keep="--keep" in sys.argv[1:])
