"""Do induction heads, in-context learning and a bump of the loss come together? Olsson et al., 2022.

python analyses/literature/olsson_2022.py           # the bundled family
python analyses/literature/olsson_2022.py FAMILY    # any other; --text FILE gives windows of 512 tokens, as the source
"""

import numpy as np
import pandas as pd
from comparing import Answer, Asked, Compared, show, told
from measures import HEAD, MOSTLY, PASSAGE, REPEATS, TEXT, WINDOW, follow

from interp_emerge.stats import Interval, mean_intervals

BEFORE, AFTER, TOKENS, SURE = 0.15, (0.3, 0.5), (2.5e9, 5e9), 0.975
CLAIMS = ("window", "tokens", "amount", "constant", "bump")


def compare(asked: Asked) -> Compared:
    """The answers, and the best head of every run over training."""
    runs = [follow(asked, size, seed) for size, seed in asked.runs()]
    curve = pd.concat([run["curve"].assign(panel=HEAD, run=run["run"]) for run in runs])
    formed, flat = [run for run in runs if run["best"].low > MOSTLY], [run for run in runs if run["layers"] == 1]
    scores = "; ".join(f"{run['run']}: {run['best']}" for run in flat) or "no model has one layer"
    lack, has = (
        sum(test(run["best"]) for run in flat) for test in (lambda one: one.high < MOSTLY, lambda one: one.low > MOSTLY)
    )
    flatly = Answer(
        "one_layer", f"{HEAD}: {scores}", told(0 < lack == len(flat), has > 0), f"an induction head has {MOSTLY}"
    )
    if not formed:
        return [flatly, *(Answer(claim, "no run forms an induction head", None) for claim in CLAIMS)], curve
    return [flatly, *together(formed), *amounts(formed, asked), bump(formed)], curve


def together(runs: list[dict]) -> list[Answer]:
    """Whether heads and in-context learning change fastest in one interval, and at how many tokens."""
    shares = {name: np.array([run["phases"]["together"].get(name, np.nan) for run in runs]) for name in (REPEATS, TEXT)}
    counts = (f"{name}: in {int((one >= SURE).sum())} of {int((one >= 0).sum())} runs" for name, one in shares.items())
    used, last = shares[REPEATS if np.isnan(shares[TEXT]).all() else TEXT], runs[-1]
    ours = f"{'; '.join(counts)}. {last['run']}: between steps {last['window'][0]} and {last['window'][1]}"
    holds = told(bool((used >= SURE).all()), bool((used <= 1 - SURE).any()))
    why = "a run counts if both change fastest in one interval in 97.5% of resamples of prompts"
    start, end, total = last["tokens"]
    fits, long = start <= TOKENS[1] and end >= TOKENS[0], total > TOKENS[1]
    limit = "the two windows overlap" if long else f"training ends at {total:.2g} tokens"
    tokens = Answer(
        "tokens", f"{last['run']}: {start:.2g} to {end:.2g} tokens", told(long and fits, long and not fits), limit
    )
    return [Answer("window", ours, holds, why), tokens]


def amounts(runs: list[dict], asked: Asked) -> list[Answer]:
    """In-context learning on text, in nats: before the window and at the end, and over sizes at the end."""
    kept, few = [run for run in runs if run["gain"] is not None], ("fewer than 5 passages", None, "give --text FILE")
    if not kept:
        return [Answer("amount", *few), Answer("constant", *few)]
    largest = kept[-1]
    before, after = (largest["means"][TEXT, step] for step in (largest["window"][0], max(largest["losses"])))
    fits, why = before.value < BEFORE and AFTER[0] <= after.value <= AFTER[1], "below 0.15, then 0.3 to 0.5"
    if not asked.text:
        fits, why = None, f"contexts of {PASSAGE} tokens of other text; --text FILE gives {WINDOW}"
    amount = Answer("amount", f"{largest['run']}: {before} before, {after} at the end", fits, why)
    ends = np.stack([run["gain"] for run in kept], 1)
    less, low, high = mean_intervals(ends - ends[:, -1:], level=1 - 2 * (1 - SURE) / max(len(kept) - 1, 1))
    over = "; ".join(f"{run['run']}: {Interval(*one)}" for run, *one in zip(kept[:-1], less, low, high, strict=False))
    same, apart = len(kept) > 1 and np.abs([low, high]).max() < BEFORE, bool(((low > 0) | (high < 0)).any())
    margin = f"all certainly within {BEFORE} nats; not so if one certainly differs from 0"
    ours = f"at the end, less {largest['run']}, nats: {over}"
    return [amount, Answer("constant", ours, told(same and not apart, apart), margin)]


def bump(runs: list[dict]) -> Answer:
    """Where the loss falls faster per step than in the interval before, for certain: there it is not convex."""
    found = {}
    for run in (run for run in runs if len(run["losses"]) > 2):
        steps, losses = np.array([*run["losses"]]), np.stack([*run["losses"].values()])
        bends = np.diff(-np.diff(losses, axis=0) / np.diff(steps)[:, None], axis=0)
        low = mean_intervals(bends.T, level=1 - 2 * (1 - SURE) / len(bends))[1]
        places = [(int(steps[at + 1]), int(steps[at + 2])) for at in np.flatnonzero(low > 0)]
        found[run["run"]] = places, run["window"]
    there = sum(window in places for places, window in found.values())
    only = sum([window] == places for places, window in found.values())
    listed = (f"{run}: {', '.join(f'{a} to {b}' for a, b in one[0]) or 'nowhere'}" for run, one in found.items())
    ours = (
        f"not convex in the window in {there} of {len(found)} runs, nowhere else in {only}. Not convex between steps "
    )
    ours += "; ".join(listed)
    return Answer("bump", ours, told(0 < only == len(found), only < len(found)), "in all runs, in the window alone")


if __name__ == "__main__":
    show("olsson_2022", compare)
