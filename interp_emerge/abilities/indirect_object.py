"""Indirect objects: two people meet, one of them gives something, and the other one receives it.

The name that is repeated comes first or second (BABA and ABBA). There are two wordings of equal length, with different
distances between the names. In the corrupted prompt the other person gives, so answer and foil are exchanged.
"""

import numpy as np

from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.base import Ability, single_tokens
from interp_emerge.abilities.pairs import Pair, PromptPairs, prompt_ids
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
    rows = []
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
        clean, corrupt = (
            prompt_ids(model, WORDINGS[wording].format(subject=acting, **fill)) for acting in (subject, receiver)
        )
        rows.append(
            Pair(
                clean=clean,
                corrupt=corrupt,
                answer=names[receiver],
                foil=names[subject],
                template=f"{wording}, {'ABA' if subject == first else 'ABB'}",
                positions={"acting name": first_difference(clean, corrupt), "last": -1},
                variables={
                    "receiver": names[receiver],
                    "acting name": names[subject],
                    "first name receives": int(receiver == first),
                },
            )
        )
    return PromptPairs.from_rows(rows)


def first_difference(a: list[int], b: list[int]) -> int:
    """The first index at which two lists differ."""
    return next(index for index, (one, other) in enumerate(zip(a, b, strict=False)) if one != other)


shelf.add(
    Ability(
        name="indirect_object",
        summary="name who receives a thing when one of two people gives it",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        chance=0.5,
        draw=draw,
        language="miniature",
        corruptions={"swapped subject": "the other person gives, so answer and foil are exchanged"},
        templates={f"{name}, {order}": wording for name, wording in WORDINGS.items() for order in ("ABA", "ABB")},
        positions=("acting name", "last"),
        variables=("receiver", "acting name", "first name receives"),
        requirements="4 names, 2 things and 2 places of the miniature language as single tokens",
    )
)
