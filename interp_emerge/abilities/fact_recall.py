"""Recall of a fact that was told: "A follows B" stands somewhere before, and "A follows" is asked again.

It differs from induction in that every fact shares its middle word, so the token before the answer says nothing: the
name before that has to be found again. The prompt tells six facts of three chains and where each chain leads, then asks
for the end of one. The corrupt prompt exchanges the ends of two chains throughout. A model that only knows which names
end a chain guesses one in three.
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
    names = single_tokens(model, language.NAMES, at_least=3 * CHAINS, wanted_for="fact_recall")
    clean, corrupt, answer, foil = [], [], [], []
    for _ in range(n):
        chains = Chains.draw(rng, list(names))
        order = rng.permutation(CHAINS).tolist()
        asked, other = (int(chain) for chain in rng.choice(CHAINS, size=2, replace=False))
        question = f" {chains.middles[asked]} follows"
        exchanged = chains.exchange_ends(asked, other)
        clean.append(chains.facts() + chains.conclusions(order) + question)
        corrupt.append(exchanged.facts() + exchanged.conclusions(order) + question)
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
        name="fact_recall",
        summary="recall the second name of a fact that was told before",
        source=Source("Zoology: Arora et al.", 2023, "https://arxiv.org/abs/2312.04927"),
        chance=1 / CHAINS,
        draw=draw,
    )
)
