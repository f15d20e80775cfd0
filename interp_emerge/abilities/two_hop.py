"""Two-hop look-up: "A follows B" and "B follows C" imply "A reaches C".

The prompt gives the six facts of three chains in random order. The corrupted prompt exchanges the ends of two chains,
so the correct answer to the same question is the end of the other chain. A model that only knows which names end a
chain is right in one case of three.
"""

import numpy as np

from interp_emerge.abilities import shelf
from interp_emerge.abilities._chains import CHAINS, Chains, pairs_of_chains
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    return pairs_of_chains(model, n, rng, ability="two_hop", choose_wording=lambda _rng: ask)


def ask(chains: Chains, asked: int) -> str:
    """All facts, then the question for the end of one chain."""
    return f"{chains.facts()} {chains.starts[asked]} reaches"


shelf.add(
    Ability(
        name="two_hop",
        summary="follow two facts in turn to the name at the end of a chain",
        source=Source("Yang et al.", 2024, "https://arxiv.org/abs/2402.16837"),
        chance=1 / CHAINS,
        draw=draw,
        language="miniature",
        corruptions={"exchanged ends": "the ends of two chains are exchanged"},
        templates={"three chains": "{facts} {start} reaches"},
        positions=("last",),
        variables=("start", "middle", "end"),
        requirements="9 names of the miniature language as single tokens",
    )
)
