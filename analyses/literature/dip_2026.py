"""Does a model prefer the wrong name before it prefers the right one, and do untrained models too?

python analyses/literature/dip_2026.py           # the bundled family
python analyses/literature/dip_2026.py FAMILY    # any other; --indirect-object names the ability if it is not ioi

Source: Detection Without Suppression: A Sign Flip in IOI Circuit Formation, 2026. The share that prefers the receiver
counts prompts in which the receiver's logit exceeds the subject's; a guess has 0.5. Untrained models of the same
configuration answer the same prompts: a dip has to be certainly below chance, and below all of them.
"""

from typing import Any

import numpy as np
import pandas as pd
from comparing import Answer, Asked, Compared, show, told
from dip_repetition import preference, repetition

import interp_emerge as ie
from interp_emerge.abilities import Ability
from interp_emerge.stats import Interval, mean_interval, mean_intervals

PROMPTS, UNTRAINED, SURE, CHANCE, NEAR, SHARE = 512, 39, 0.975, 0.5, 0.05, "share that prefers the receiver"


def compare(asked: Asked) -> Compared:
    """The answers, and the share of prompts with the right preference in every run."""
    ability = ie.load_ability(asked.indirect_object)
    null = {size: untrained(asked, ability, size) for size in asked.sizes}
    runs = [follow(asked, ability, size, seed, null[size]) for size, seed in asked.runs()]
    curve = pd.concat([run["curve"].assign(panel=SHARE, run=run["run"]) for run in runs])
    shares = np.concatenate([(one > 0).mean(0) for one in null.values()])
    chance = f"{mean_interval(shares)} on average, {shares.min():.2f} to {shares.max():.2f}"
    why = f"{UNTRAINED} models of each size on the same prompts; the mean has to lie within {NEAR} of {CHANCE}"
    control, able = (
        Answer("untrained", chance, abs(shares.mean() - CHANCE) < NEAR, why),
        [run for run in runs if run["able"]],
    )
    if not able:
        few = ("no run learns to prefer the receiver", None, "")
        return [control, Answer("dip", *few), Answer("probe", *few), Answer("sign", *few)], curve
    deepest = min(able, key=lambda run: run["share"].value)
    by_share, by_logits = sum(run["dips"] for run in able), sum(run["lower"] for run in able)
    ours = (
        f"below chance and all untrained models in {by_share} of {len(able)} runs that learn it by the share, in "
        f"{by_logits} by the logit difference. Deepest: {deepest['run']}, step {deepest['at'][1]}: {deepest['share']}"
    )
    rule = f"by the share, in all runs; every checkpoint is tested at {1 - SURE:.1%} divided by their number"
    dip = Answer("dip", ours, told(by_share == len(able), not by_share and not by_logits), rule)
    return [control, dip, *repetition(asked, ability, deepest["at"], PROMPTS)], curve


def untrained(asked: Asked, ability: Ability, size: str) -> np.ndarray:
    """Preferences of untrained models of one size, shape [pair, model]."""
    model = asked.family.load(size)
    pairs = ability.sample(model, PROMPTS)
    return np.stack([preference(ie.families.untrained(model, draw), pairs) for draw in range(UNTRAINED)], 1)


def follow(asked: Asked, ability: Ability, size: str, seed: int, null: np.ndarray) -> dict[str, Any]:
    """One run: its preference at each checkpoint, and whether it is below chance and below all untrained models."""
    steps, found = asked.steps_of(size, seed), []
    for step in steps:
        model = asked.family.load(size, step, seed)
        found.append(preference(model, ability.sample(model, PROMPTS)))
    gaps = np.stack(found, 1)
    right, level = (gaps > 0).astype(float), 1 - 2 * (1 - SURE) / len(steps)
    mean, low, high = mean_intervals(right, share=True)
    dips = (mean_intervals(right, share=True, level=level)[2] < CHANCE) & (mean < (null > 0).mean(0).min())
    lower = (mean_intervals(gaps, level=level)[2] < 0) & (gaps.mean(0) < null.mean(0).min())
    least = int(mean.argmin())
    curve = pd.DataFrame({"step": steps, "value": mean, "value_low": low, "value_high": high})
    about = {"run": f"{size}, seed {seed}", "at": (size, steps[least], seed), "curve": curve}
    share = Interval(float(mean[least]), float(low[least]), float(high[least]))
    return {**about, "able": low[-1] > CHANCE, "share": share, "dips": dips.any(), "lower": lower.any()}


if __name__ == "__main__":
    show("dip_2026", compare)
