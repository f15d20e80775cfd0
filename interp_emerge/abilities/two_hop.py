"""Two-hop look-up: from "A follows B" and "B follows C" to "A reaches C".

Six facts of three chains stand in random order. The corrupt prompt exchanges the ends of two chains, so that the same
question leads to the other chain's end. A model that only knows which names end a chain guesses one in three.
"""

import numpy as np
import torch

from interp_emerge.abilities import _language as language
from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import Ability, PromptPairs, single_tokens, stack_prompts
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

CHAINS = 3


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    names = single_tokens(model, language.NAMES, at_least=3 * CHAINS, wanted_for="two_hop")
    clean, corrupt, answer, foil = [], [], [], []
    for _ in range(n):
        chosen = [str(name) for name in rng.choice(list(names), size=3 * CHAINS, replace=False)]
        starts, middles, ends = chosen[:CHAINS], chosen[CHAINS : 2 * CHAINS], chosen[2 * CHAINS :]
        asked, other = (int(chain) for chain in rng.choice(CHAINS, size=2, replace=False))
        exchanged = ends.copy()
        exchanged[asked], exchanged[other] = ends[other], ends[asked]
        order = rng.permutation(2 * CHAINS)
        clean.append(_prompt(starts, middles, ends, order, starts[asked]))
        corrupt.append(_prompt(starts, middles, exchanged, order, starts[asked]))
        answer.append(names[ends[asked]])
        foil.append(names[ends[other]])
    tokens = stack_prompts(model, clean)
    return PromptPairs(
        clean=tokens,
        corrupt=stack_prompts(model, corrupt),
        answer=torch.tensor(answer),
        foil=torch.tensor(foil),
        templates=("three chains",) * n,
        positions={"last": torch.full((n,), tokens.shape[1] - 1)},
    )


def _prompt(starts: list[str], middles: list[str], ends: list[str], order: np.ndarray, asked: str) -> str:
    facts = [f" {a} follows {b}." for a, b in zip(starts + middles, middles + ends, strict=True)]
    return "".join(facts[i] for i in order) + f" {asked} reaches"


shelf.add(
    Ability(
        name="two_hop",
        summary="follow two facts in turn to the name at the end of a chain",
        source=Source("Yang et al.", 2024, "https://arxiv.org/abs/2402.16837"),
        chance=1 / CHAINS,
        draw=draw,
    )
)
