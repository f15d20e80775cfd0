"""The Markov chain of the miniature language: the answer is the word most likely to follow the last one.

Only the last word is needed, and models of every size learn the task smoothly. It is the negative control: an analysis
that calls it emergent is wrong. A model that was not trained on the miniature language cannot know the chain.
"""

import numpy as np

from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.base import Ability, single_tokens
from interp_emerge.abilities.pairs import Pair, PromptPairs
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

WORDS = 8


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    ids = single_tokens(model, language.CONTENT, at_least=len(language.CONTENT), wanted_for="markov")
    successor = language.markov_chain().argmax(1)
    walks = language.walk_markov(rng, n, WORDS)
    replaced = walks.copy()
    for row in range(n):
        others = np.flatnonzero(successor != successor[walks[row, -1]])
        replaced[row, -1] = rng.choice(others)
    rows = [
        Pair(
            clean=_text(walk),
            corrupt=_text(other),
            answer=ids[language.CONTENT[successor[walk[-1]]]],
            foil=ids[language.CONTENT[successor[other[-1]]]],
            template="background",
            positions={"last": -1},
            variables={"state": int(walk[-1]), "next state": int(successor[walk[-1]])},
        )
        for walk, other in zip(walks, replaced, strict=True)
    ]
    return PromptPairs.from_rows(rows, model=model)


def _text(walk: np.ndarray) -> str:
    return "".join(f" {language.CONTENT[word]}" for word in walk)


def _best_constant_guess() -> float:
    counts = np.zeros(len(language.CONTENT))
    np.add.at(counts, language.markov_chain().argmax(1), language.markov_stationary())
    return float(counts.max())


shelf.add(
    Ability(
        name="markov",
        summary="name the likeliest next word of a first-order Markov chain (control: learned smoothly)",
        source=Source("Edelman et al.", 2024, "https://arxiv.org/abs/2402.11004"),
        chance=_best_constant_guess(),
        draw=draw,
        language="miniature",
        corruptions={"other last word": "the last word is another, with another likeliest successor"},
        templates={"background": "{words}"},
        positions=("last",),
        variables=("state", "next state"),
        requirements="all 36 content words of the miniature language as single tokens",
        control=True,
    )
)
