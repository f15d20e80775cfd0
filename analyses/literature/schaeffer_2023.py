"""Are jumps those of the metric? Answers of several tokens are repeated segments. Schaeffer et al., 2023.

python analyses/literature/schaeffer_2023.py           # the bundled family
python analyses/literature/schaeffer_2023.py FAMILY    # any other: a name, or a directory of checkpoints
"""

from functools import partial
from typing import Literal

import pandas as pd
from comparing import Answer, Asked, Compared, show, told

import interp_emerge as ie
from interp_emerge.emergence import scale
from interp_emerge.emergence.scale import Mirage, MirageVerdict, continuations
from interp_emerge.stats import Interval, success_interval

PROMPTS, SHORT, PASSES, MOST, MARGIN, CLAIMED, HALF = 256, 2, 400, 2_000_000, 0.05, 0.92, 0.5
Models = list[tuple[str, int | Literal["last"], int]]
DECIDED = (MirageVerdict.METRIC, MirageVerdict.MODEL)
MINIATURE = ("indirect_object", "induction", "modular_addition", "fact_recall", "two_hop")
ENGLISH = ("induction", "ioi", "greater_than", "subject_verb_agreement", "capital", "successor")


def compare(asked: Asked) -> Compared:
    """The answers, over sizes at the last step and over the training of the largest size."""
    ability, grid = ie.load_ability("induction"), continuations.several_tokens_grid
    about, ask = {"ability": ability.name, "chance": ability.chance}, partial(ability.sample, n=PROMPTS)
    largest = [run for run in asked.runs() if run[0] == asked.sizes[-1]]
    steps = [(size, step, seed) for size, seed in largest for step in asked.steps_of(size, seed) if step]
    axis = "tokens" if asked.family.counts_tokens else "loss"
    sizes: Models = [(size, "last", seed) for size, seed in asked.runs()]
    over_sizes = grid(asked.family, ask, models=sizes, **about)
    over_steps = grid(asked.family, ask, models=steps, axis=axis, **about)
    both = {"over sizes": over_sizes, f"over training at {asked.sizes[-1]}": over_steps}
    checks = {name: continuations.several_tokens_check(one, continuous="token_accuracy") for name, one in both.items()}
    rates = pd.concat([one.to_frame() for one in both.values()], ignore_index=True)
    answers = [power(rates, over_sizes.length), jumps("distance", checks), *choices(asked, sizes)]
    words = len(asked.family.load(asked.sizes[0]).ordinary_ids)
    return [*answers, resolution(over_sizes, words**-SHORT)], pd.DataFrame()


def power(table: pd.DataFrame, length: int) -> Answer:
    """Exact match less the product of the accuracies of the positions, at every point."""
    worst = table.iloc[int(table["excess"].abs().to_numpy().argmax())]
    inside = int(((table["excess_low"] <= 0) & (table["excess_high"] >= 0)).sum())
    farthest = float(table[["excess_low", "excess_high"]].abs().to_numpy().max())
    where = f"largest at {worst['point']}, {Interval.of(worst, 'excess')}"
    ours = f"{length} tokens: exact match less the product is {where}; 0 lies in {inside} of {len(table)} intervals"
    holds = told(farthest < MARGIN, abs(worst["excess"]) > MARGIN and inside < len(table))
    return Answer("power", ours, holds, f"all intervals lie within {MARGIN} of 0")


def jumps(claim: str, checks: dict[str, Mirage]) -> Answer:
    """Whether jumps of a thresholded metric are those of the metric."""
    said = [f"{name}: {one.verdict}" + f", shares {one.shared}" * bool(one.window[0]) for name, one in checks.items()]
    found = [one.verdict for one in checks.values() if one.verdict in DECIDED]
    holds = told(0 < found.count(MirageVerdict.METRIC) == len(found), MirageVerdict.MODEL in found)
    metric = next(iter(checks.values())).continuous.metric
    return Answer(claim, "; ".join(said), holds, f"all decided jumps are the metric's: {metric} shares less than half")


def choices(asked: Asked, sizes: Models) -> list[Answer]:
    """The jump of accuracy beside the Brier score, and the share of jumps that are the metric's."""
    abilities = [ie.load_ability(one) for one in (MINIATURE if asked.family.name == "miniature" else ENGLISH)]
    frame = ie.measure_grid(asked.family, abilities, models=sizes, n=PROMPTS)
    ladders = {one.name: scale.Ladder.from_frame(frame, one) for one in abilities}
    brier = jumps("brier", {name: scale.mirage_check(one, continuous="brier") for name, one in ladders.items()})
    found = [scale.mirage_check(one).verdict for one in ladders.values()]
    decided = [one for one in found if one in DECIDED]
    if not decided:
        return [brier, Answer("share", f"no jump of {len(found)} abilities is decided", None)]
    share = success_interval(decided.count(MirageVerdict.METRIC), len(decided))
    ours = f"{share:.0%} of {len(decided)} jumps that are decided, of {len(found)} abilities, by the log-probability"
    return [
        brier,
        Answer("share", ours, told(share.low > HALF, share.high < CLAIMED), "more than half; not so below 92%"),
    ]


def resolution(ladder: continuations.TokenLadder, guess: float) -> Answer:
    """The rate of two tokens in a row, sampled until many pass, compared with guessing among all words."""
    table = continuations.sampled_rates(ladder, SHORT, passes=PASSES, most=MOST)
    rows = {f"{row['point']}, seed {row['run']}": row for row in table.to_dict("records") if row["greedy"] == 0}
    rates = {name: Interval.of(row, "rate") for name, row in rows.items()}
    if not rates:
        return Answer("resolution", "no model is at zero", None)
    above, below = sum(one.low > guess for one in rates.values()), sum(one.high < guess for one in rates.values())
    said = "; ".join(f"{name}: {one:.1e}" for name, one in rates.items())
    ours = f"where no greedy answer of {SHORT} tokens is right: {said}; a guess among all words has {guess:.1e}"
    return Answer(
        "resolution", ours, told(above == len(rates), below > 0), "all certainly above a guess; not so if one is below"
    )


if __name__ == "__main__":
    show("schaeffer_2023", compare)
