"""When do heads form, at all sizes alike, and what becomes of circuits? Tigges et al., 2024.

python analyses/literature/tigges_2024.py           # the bundled family
python analyses/literature/tigges_2024.py FAMILY    # any other; --indirect-object names the ability if it is not ioi
"""

import pandas as pd
from comparing import Answer, Asked, Compared, show, told
from measures import MOSTLY, prefix_matching
from tigges_circuits import circuits_of, over_sizes, over_training

import interp_emerge as ie
from interp_emerge.abilities import Ability
from interp_emerge.stats import mean_intervals

PAIRS, FACTOR, SOON, MOVING = 64, 4, (2e9, 4e9), (2e9, 8e9)
Window = tuple[float, float]
"""Training tokens at the last checkpoint without a thing, and at the first with it."""


def compare(asked: Asked) -> Compared:
    """The answers: heads in all runs, circuits over the training of the largest size and over sizes."""
    ability = ie.load_ability(asked.indirect_object)
    found = {f"{size}, seed {seed}": induction(asked, size, seed) for size, seed in asked.runs()}
    formed = {name: window for name, window in found.items() if window}
    size, seed = [*asked.runs()][-1]
    circuits = circuits_of(asked, ability, size, seed)
    moving = movers(asked, ability, size, seed, [*circuits])
    total = asked.tokens(size, asked.steps_of(size, seed)[-1], seed)
    run = f"{size}, seed {seed}"
    return [
        at_tokens("induction", run, formed.get(run), SOON, total),
        at_tokens("name_movers", run, moving, MOVING, total),
        alike(formed),
        *over_training(asked, ability, size, seed, circuits),
        over_sizes(asked, ability),
    ], pd.DataFrame()


def induction(asked: Asked, size: str, seed: int) -> Window | None:
    """When a head matches prefixes with most of its attention for certain; None if never."""
    before = 0.0
    for step in asked.steps_of(size, seed):
        tokens = asked.tokens(size, step, seed)
        if mean_intervals(prefix_matching(asked.family.load(size, step, seed)))[1].max() > MOSTLY:
            return before, tokens
        before = tokens
    return None


def movers(asked: Asked, ability: Ability, size: str, seed: int, steps: list[int]) -> Window | None:
    """When a head plays the name mover, among the steps with a circuit; None if never."""
    before = 0.0
    for step in steps:
        model, tokens = asked.family.load(size, step, seed), asked.tokens(size, step, seed)
        found = ie.role_table(model, roles=["name_mover"], pairs=ability.sample(model, PAIRS, seed=1))
        if found["plays"].fillna(value=False).any():
            return before, tokens
        before = tokens
    return None


def at_tokens(claim: str, run: str, window: Window | None, published: Window, total: float) -> Answer:
    """Whether a window of tokens overlaps the published one, if training is long enough."""
    ours = f"{run}: between {window[0]:.2g} and {window[1]:.2g} tokens" if window else f"{run}: never"
    if not total > published[1]:
        return Answer(claim, ours, None, f"training ends at {total:.2g} tokens")
    holds = window is not None and window[0] <= published[1] and window[1] >= published[0]
    return Answer(claim, ours, holds, f"overlaps {published[0]:.2g} to {published[1]:.2g} tokens")


def alike(formed: dict[str, Window]) -> Answer:
    """Whether induction heads form within a factor of tokens in all runs that have them."""
    if len(formed) < 2:
        return Answer("scale", f"induction heads form in {len(formed)} runs", None, "2 are needed")
    lows, highs = zip(*formed.values(), strict=True)
    least, most = max(lows) / min(highs), max(highs) / max(min(lows), 1.0)
    said = "; ".join(f"{name}: {low:.2g} to {high:.2g}" for name, (low, high) in formed.items())
    ours = f"induction heads, tokens: {said}. The last needs {least:.1f} to {most:.1f} times as many as the first"
    return Answer("scale", ours, told(most <= FACTOR, least > FACTOR), f"a factor of {FACTOR}")


if __name__ == "__main__":
    show("tigges_2024", compare)
