"""Two-hop look-up: from "A follows B" and "B follows C" to "A reaches C".

Six facts of three chains stand in random order. The corrupt prompt exchanges the ends of two chains, so that the same
question leads to the other chain's end. A model that only knows which names end a chain guesses one in three.
"""

import numpy as np
import torch

from interp_emerge.abilities import _language as language
from interp_emerge.abilities import shelf
from interp_emerge.abilities._chains import CHAINS, Chains
from interp_emerge.abilities.base import Ability, PromptPairs, single_tokens, stack_prompts
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    names = single_tokens(model, language.NAMES, at_least=3 * CHAINS, wanted_for="two_hop")
    clean, corrupt, answer, foil = [], [], [], []
    for _ in range(n):
        chains = Chains.draw(rng, list(names))
        asked, other = (int(chain) for chain in rng.choice(CHAINS, size=2, replace=False))
        question = f" {chains.starts[asked]} reaches"
        clean.append(chains.facts() + question)
        corrupt.append(chains.exchange_ends(asked, other).facts() + question)
        answer.append(names[chains.ends[asked]])
        foil.append(names[chains.ends[other]])
    tokens = stack_prompts(model, clean)
    return PromptPairs(
        clean=tokens,
        corrupt=stack_prompts(model, corrupt),
        answer=torch.tensor(answer),
        foil=torch.tensor(foil),
        templates=("three chains",) * n,
        positions={"last": torch.full((n,), tokens.shape[1] - 1)},
    )


shelf.add(
    Ability(
        name="two_hop",
        summary="follow two facts in turn to the name at the end of a chain",
        source=Source("Yang et al.", 2024, "https://arxiv.org/abs/2402.16837"),
        chance=1 / CHAINS,
        draw=draw,
    )
)
