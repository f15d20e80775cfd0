"""Whether a model knows that a name is repeated, and what the repetition does to its preference.

python analyses/literature/dip_repetition.py           # the last checkpoints of the bundled family
python analyses/literature/dip_repetition.py FAMILY    # of any other: a name, or a directory of checkpoints

A prompt is compared with the same prompt in which a third name stands in place of the second mention of the subject.
"""

import numpy as np
import torch
from comparing import Answer, Asked, asked, told

import interp_emerge as ie
from interp_emerge.abilities import Ability, Pair, PromptPairs
from interp_emerge.stats import Interval, mean_interval

KNOWN, ALREADY = 0.9, 0.75


@torch.no_grad()
def preference(model: ie.HookedModel, pairs: PromptPairs, *, clean: bool = True) -> np.ndarray:
    """Logit of the receiver minus that of the subject after each prompt, shape [pair]."""
    parts = []
    for _, group in pairs.by_length():
        logits = model.logits(group.clean if clean else group.corrupt).float().cpu()
        receiver, subject = (logits.gather(1, one[:, None])[:, 0] for one in (group.answer, group.foil))
        parts.append((receiver - subject).numpy())
    return pairs.in_order(parts).astype(float)


def rows_of(pairs: PromptPairs) -> list[Pair]:
    """Each prompt, and in place of its corrupted one the same prompt with a third name at the second mention."""
    name = "s2" if "s2" in pairs.positions else "acting name"
    rng, names, rows = np.random.default_rng(0), np.unique([*pairs.answer, *pairs.foil]), []
    for _, group in pairs.by_length():
        for clean, at, answer, foil in zip(group.clean, group.positions[name], group.answer, group.foil, strict=True):
            once = clean.clone()
            once[at] = int(rng.choice(np.setdiff1d(names, [answer, foil])))
            about = {"answer": int(answer), "foil": int(foil), "positions": {"second mention": int(at)}}
            rows.append(Pair(clean=clean, corrupt=once, **about))
    return rows


def probed(model: ie.HookedModel, rows: list[Pair]) -> tuple[Interval, float, Interval, int]:
    """Accuracy of a probe of the repetition, that in an untrained model, the difference, and the layer."""
    shown = []
    for at, row in enumerate(rows):
        clean, corrupt = (row.clean, row.corrupt) if at % 2 else (row.corrupt, row.clean)
        about = {"answer": row.answer, "foil": row.foil, "positions": row.positions}
        shown.append(Pair(clean=clean, corrupt=corrupt, variables={"twice": at % 2}, **about))
    scores = ie.probe(model, PromptPairs.from_rows(shown), variable="twice", positions="second mention")
    best = scores.to_frame().nlargest(1, "accuracy").iloc[0]
    more = Interval.of(best, "over_untrained")
    return Interval.of(best, "accuracy", "ci"), float(best["untrained"]), more, int(best["layer"])


def repetition(given: Asked, ability: Ability, at: tuple[str, int, int], n: int) -> list[Answer]:
    """What one checkpoint knows of the repetition, and what the repetition does there and at the end of training."""
    size, step, seed = at
    model, end = given.family.load(size, step, seed), given.family.load(size, seed=seed)
    rows = rows_of(ability.sample(model, n))
    pairs, (known, fresh, more, layer) = PromptPairs.from_rows(rows), probed(model, rows)
    changes = [mean_interval(preference(one, pairs, clean=False) - preference(one, pairs)) for one in (model, end)]
    read = f"{size}, seed {seed}, step {step}: {known} in layer {layer}, {fresh:.2f} in an untrained model, {more} more"
    flip = f"{size}, seed {seed}: {changes[0]} at step {step}, {changes[1]} at the end"
    rule = f"above {KNOWN}, and above {ALREADY} in the untrained model; a guess has 0.50"
    signs = told(changes[0].low > 0 > changes[1].high, changes[0].high < 0 or changes[1].low > 0)
    holds = told(known.low > KNOWN and fresh > ALREADY, known.high < KNOWN or fresh < ALREADY)
    return [Answer("probe", read, holds, rule), Answer("sign", flip, signs, "positive, then negative, for certain")]


if __name__ == "__main__":
    given, _ = asked()
    for size, seed in given.runs():
        last = given.family.steps(size, seed)[-1]
        for one in repetition(given, ie.load_ability(given.indirect_object), (size, last, seed), 256):
            print(f"{one.claim}: {one.ours}")
