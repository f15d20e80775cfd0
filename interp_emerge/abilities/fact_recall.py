"""Recall of a fact: the prompt contains "A follows B", and ends with "A follows".

The task differs from induction in one point. All facts share the word "follows", so the last token does not determine
the answer: the model has to use the name before it. The prompt gives the six facts of three chains of names, then the
end of each chain, then asks for the end of one chain. The corrupted prompt exchanges the ends of two chains everywhere.
A model that only knows which names end a chain is right in one case of three.
"""

import numpy as np

from interp_emerge.abilities import shelf
from interp_emerge.abilities._chains import CHAINS, Wording, pairs_of_chains
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
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
        summary="recall the second name of a fact that the prompt gives",
        source=Source("Zoology: Arora et al.", 2023, "https://arxiv.org/abs/2312.04927"),
        chance=1 / CHAINS,
        draw=draw,
        language="miniature",
        corruptions={"exchanged ends": "the ends of two chains are exchanged everywhere"},
        templates={"three chains": "{facts} {conclusions} {middle} follows"},
        positions=("last",),
        variables=("start", "middle", "end"),
        requirements="9 names of the miniature language as single tokens",
    )
)
