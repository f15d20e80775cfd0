"""Indirect objects: two people meet, one of them gives something, and the other one receives it.

Both orders of the names occur (ABBA and BABA), in two wordings of equal length with different distances between the
names. In the corrupted prompt the other person gives, so answer and foil change places.
"""

import numpy as np
import torch

from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.base import Ability, PromptPairs, single_tokens, stack_prompts
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

WORDINGS = {
    "place last": " When {first} and {second} met at the {place}, {subject} gave the {thing} to",
    "place first": " At the {place} when {first} and {second} met, {subject} gave the {thing} to",
}


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    names = single_tokens(model, language.NAMES, at_least=4, wanted_for="indirect_object")
    things = single_tokens(model, language.THINGS, at_least=2, wanted_for="indirect_object")
    places = single_tokens(model, language.PLACES, at_least=2, wanted_for="indirect_object")
    clean, corrupt, answer, foil, templates, first_receives = [], [], [], [], [], []
    for pair in range(n):
        first, second = (str(name) for name in rng.choice(list(names), size=2, replace=False))
        wording = list(WORDINGS)[pair % 2]
        subject, receiver = (first, second) if pair % 4 < 2 else (second, first)
        fill = {
            "first": first,
            "second": second,
            "thing": rng.choice(list(things)),
            "place": rng.choice(list(places)),
        }
        clean.append(WORDINGS[wording].format(subject=subject, **fill))
        corrupt.append(WORDINGS[wording].format(subject=receiver, **fill))
        answer.append(names[receiver])
        foil.append(names[subject])
        first_receives.append(int(receiver == first))
        templates.append(f"{wording}, {'ABA' if subject == first else 'ABB'}")
    tokens, corrupted = stack_prompts(model, clean), stack_prompts(model, corrupt)
    return PromptPairs(
        clean=tokens,
        corrupt=corrupted,
        answer=torch.tensor(answer),
        foil=torch.tensor(foil),
        templates=tuple(templates),
        positions={
            "acting name": (tokens != corrupted).int().argmax(1),
            "last": torch.full((n,), tokens.shape[1] - 1),
        },
        variables={"receiver": answer, "acting name": foil, "first name receives": first_receives},
    )


shelf.add(
    Ability(
        name="indirect_object",
        summary="name who receives a thing when one of two people gives it",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        chance=0.5,
        draw=draw,
    )
)
