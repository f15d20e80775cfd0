"""Chains of people who follow one another, as facts in random order: the text of `fact_recall` and `two_hop`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from interp_emerge.abilities import _language as language
from interp_emerge.abilities.base import single_tokens
from interp_emerge.abilities.pairs import Pair, PromptPairs
from interp_emerge.core.model import HookedModel

CHAINS = 3
"""Number of chains in a prompt."""


@dataclass(frozen=True, kw_only=True)
class Chains:
    """Three chains of three names, and the order in which the text gives their six facts."""

    starts: list[str]
    middles: list[str]
    ends: list[str]
    order: list[int]

    @classmethod
    def draw(cls, rng: np.random.Generator, names: list[str]) -> "Chains":
        """Random chains in which no name occurs twice."""
        chosen = [str(name) for name in rng.choice(names, size=3 * CHAINS, replace=False)]
        parts = [chosen[part * CHAINS : (part + 1) * CHAINS] for part in range(3)]
        return cls(starts=parts[0], middles=parts[1], ends=parts[2], order=rng.permutation(2 * CHAINS).tolist())

    def exchange_ends(self, one: int, other: int) -> "Chains":
        """The same chains in the same order, with the ends of two of them exchanged."""
        ends = self.ends.copy()
        ends[one], ends[other] = self.ends[other], self.ends[one]
        return Chains(starts=self.starts, middles=self.middles, ends=ends, order=self.order)

    def facts(self) -> str:
        """Text of all facts: the start of each chain follows its middle, and the middle follows the end."""
        facts = [
            f" {one} follows {next_}."
            for one, next_ in zip(self.starts + self.middles, self.middles + self.ends, strict=True)
        ]
        return "".join(facts[fact] for fact in self.order)

    def conclusions(self, order: list[int]) -> str:
        """Text that states which end each chain reaches from its start, with the chains in this order."""
        return "".join(f" {self.starts[chain]} reaches {self.ends[chain]}." for chain in order)


Wording = Callable[[Chains, int], str]
"""A function of the chains and the index of one chain; returns the prompt that asks for the end of that chain."""


def pairs_of_chains(
    model: HookedModel,
    n: int,
    rng: np.random.Generator,
    *,
    ability: str,
    choose_wording: Callable[[np.random.Generator], Wording],
) -> PromptPairs:
    """Pairs that ask for the end of a chain. The corrupted prompt exchanges that end with the end of another chain."""
    names = single_tokens(model, language.NAMES, at_least=3 * CHAINS, wanted_for=ability)
    rows = []
    for _ in range(n):
        chains = Chains.draw(rng, list(names))
        wording = choose_wording(rng)
        asked, other = (int(chain) for chain in rng.choice(CHAINS, size=2, replace=False))
        start, middle, end = (names[part[asked]] for part in (chains.starts, chains.middles, chains.ends))
        rows.append(
            Pair(
                clean=wording(chains, asked),
                corrupt=wording(chains.exchange_ends(asked, other), asked),
                answer=end,
                foil=names[chains.ends[other]],
                template="three chains",
                positions={"last": -1},
                variables={"start": start, "middle": middle, "end": end},
            )
        )
    return PromptPairs.from_rows(rows, model=model)
