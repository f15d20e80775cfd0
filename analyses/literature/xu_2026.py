"""Do heads attend to the first token only after induction heads have formed? Xu, 2026.

python analyses/literature/xu_2026.py           # the bundled family
python analyses/literature/xu_2026.py FAMILY    # any other: a name, or a directory of checkpoints

Prompts are `filler A B filler A`. At the last of 256 tokens, a head's selectivity for a position is its attention there
times 255. A head belongs to the position with the highest selectivity if that is at least 30. An induction head is
selective for B by at least 50. Shorter contexts need the same shares of attention, 0.12 and 0.20.
"""

import numpy as np
import pandas as pd
import torch
from comparing import Answer, Asked, Compared, show, told

import interp_emerge as ie
from interp_emerge.stats import resample_weights, success_interval

LONGEST, PROMPTS, CLASS, MEMBER, MANY, FEW, SURE = 256, 64, 30, 50, 0.5, 3, 0.975
FIRST, FRACTION, EARLY = "share of heads on the first token", 0.58, 0.02


def prompts(model: ie.HookedModel, length: int) -> torch.Tensor:
    """Random filler around a pair of tokens whose first one comes again at the end, shape [prompt, pos]."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(PROMPTS):
        a, b, *filler = rng.permutation(np.array(model.ordinary_ids))
        rows.append(np.array([*model.bos, *rng.choice(filler, length)])[:length])
        rows[-1][[length // 2, length // 2 + 1, -1]] = a, b, a
    return torch.from_numpy(np.stack(rows))


def selectivity(model: ie.HookedModel, length: int) -> np.ndarray:
    """Selectivity of heads for B, the first, previous, repeated and last token and near ones, [prompt, head, class]."""
    parts = []
    for rows in prompts(model, length).split(8):
        patterns = ie.record(model, rows, patterns=True).patterns(model.graph.n_layers)[..., -1, :].flatten(1, 2)
        at = patterns[..., [length // 2 + 1, 0, length - 2, length // 2, length - 1]]
        parts.append(torch.cat([at, patterns[..., -6:-2].mean(-1, keepdim=True)], -1).cpu().double().numpy())
    return (LONGEST - 1) * np.concatenate(parts)


def compare(asked: Asked) -> Compared:
    """The answers for the largest size, and the share of heads on the first token in every run."""
    runs = {f"{size}, seed {seed}": follow(asked, size, seed) for size, seed in asked.runs()}
    curve = pd.concat([run["curve"].assign(panel=FIRST, run=name) for name, run in runs.items()])
    name, run = [*runs.items()][-1]
    lowest = np.concatenate([one["on_first"][:, : 2 * one["heads"]].ravel() for one in runs.values()])
    early, anywhere = int(lowest.sum()), any(one["on_first"].any() for one in runs.values())
    ours = f"{early} of {len(lowest)} heads of layers 0 and 1, over all checkpoints of {len(runs)} runs"
    last = run["on_first"][-1]
    share = success_interval(int(last.sum()), len(last))
    why, within = "" if anywhere else "no head of any layer does", share.low <= FRACTION <= share.high
    floor = Answer("floor", ours, told(anywhere and early == 0, early > 0), why)
    fraction = Answer("fraction", f"{name}: {share:.0%} of heads", within, f"{FRACTION:.0%} inside the interval")
    return [floor, fraction, order(name, run), recall(name, run)], curve


def follow(asked: Asked, size: str, seed: int) -> dict:
    """One run: at each step which heads are on the first token and which are induction heads, also in resamples."""
    steps = asked.steps_of(size, seed)
    models = (asked.family.load(size, step, seed) for step in steps)
    found = [selectivity(model, min(LONGEST, model.n_context or LONGEST)) for model in models]
    weights = resample_weights(PROMPTS, observed_first=True)
    means = np.stack([np.einsum("rp,phc->rhc", weights, one) for one in found], 1)
    on_first, induct = (means.argmax(-1) == 1) & (means[..., 1] >= CLASS), means[..., 0] >= MEMBER
    shares = on_first.mean(-1)
    ends = dict(zip(("value_low", "value_high"), np.quantile(shares[1:], (1 - SURE, SURE), axis=0), strict=True))
    curve = pd.DataFrame({"step": steps, "value": shares[0], **ends})
    heads, about = asked.family.load(size, seed=seed).graph.n_heads, {"steps": steps, "curve": curve, "shares": shares}
    return {**about, "heads": heads, "on_first": on_first[0], "induct": induct[0], "counts": induct.sum(-1)}


def order(name: str, run: dict) -> Answer:
    """Whether three induction heads are there before half of all heads are on the first token."""
    never, enough = len(run["steps"]), (run["counts"] >= FEW, run["shares"] >= MANY)
    heads, sinks = (np.where(one.any(1), one.argmax(1), never) for one in enough)
    at = [f"at step {run['steps'][one[0]]}" if one[0] < never else "never" for one in (heads, sinks)]
    before, after = (heads < sinks).mean(), (heads > sinks).mean()
    ours = f"{name}: {FEW} induction heads {at[0]}, half of all heads on the first token {at[1]}"
    why = f"P(before) = {before:.2f}; the largest share on the first token is {run['shares'][0].max():.0%}"
    both = max(heads[0], sinks[0]) < never
    return Answer("order", ours, told(both and before >= SURE, both and after >= SURE), why)


def recall(name: str, run: dict) -> Answer:
    """When two thirds of the final induction heads are selective enough."""
    final, steps = run["induct"][-1], np.array(run["steps"]) / run["steps"][-1]
    if not final.any():
        return Answer("recall", f"{name} ends without an induction head by this measure", None)
    there = int((run["induct"][:, final].mean(1) >= 2 / 3).argmax())
    before = steps[max(there - 1, 0)]
    ours = f"{name}: two thirds of {final.sum()} heads after {before:.1%} to {steps[there]:.1%} of training"
    return Answer("recall", ours, told(steps[there] <= EARLY, before >= EARLY), f"within {EARLY:.0%}")


if __name__ == "__main__":
    show("xu_2026", compare)
