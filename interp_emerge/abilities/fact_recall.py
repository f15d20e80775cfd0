"""Recall of a fact that was told: "A follows B" stands somewhere before, and "A follows" is asked again.

It differs from induction in that every fact shares its middle word, so the token before the answer says nothing: the
name before that has to be found again. The prompt tells six facts of three chains and where each chain leads, then asks
for the end of one. The corrupt prompt exchanges the ends of two chains throughout. A model that only knows which names
end a chain guesses one in three.
"""

import numpy as np

from interp_emerge.abilities import shelf
from interp_emerge.abilities._chains import CHAINS, Wording, pairs_of_chains
from interp_emerge.abilities.base import Ability, PromptPairs
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    return pairs_of_chains(model, n, rng, ability="fact_recall", choose_wording=choose_wording)


def choose_wording(rng: np.random.Generator) -> Wording:
    order = rng.permutation(CHAINS).tolist()
    return lambda chains, asked: f"{chains.facts()}{chains.conclusions(order)} {chains.middles[asked]} follows"


shelf.add(
    Ability(
        name="fact_recall",
        summary="recall the second name of a fact that was told before",
        source=Source("Zoology: Arora et al.", 2023, "https://arxiv.org/abs/2312.04927"),
        chance=1 / CHAINS,
        draw=draw,
    )
)
