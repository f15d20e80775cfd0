"""Addition of two number words modulo eleven; the corrupted prompt changes one of the two numbers."""

import numpy as np

from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.base import Ability, single_tokens
from interp_emerge.abilities.pairs import Pair, PromptPairs
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

MODULUS = len(language.NUMBERS)


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    numbers = single_tokens(model, language.NUMBERS, at_least=MODULUS, wanted_for="modular_addition")
    left, right = rng.integers(MODULUS, size=(2, n))
    other = (right + rng.integers(1, MODULUS, size=n)) % MODULUS
    rows = []
    for pair, (a, b, new_b) in enumerate(zip(left.tolist(), right.tolist(), other.tolist(), strict=True)):
        moved = (new_b - b) % MODULUS
        new_a, new_b = ((a + moved) % MODULUS, b) if pair % 2 == 0 else (a, new_b)
        rows.append(
            Pair(
                clean=_question(a, b),
                corrupt=_question(new_a, new_b),
                answer=numbers[_sum(a, b)],
                foil=numbers[_sum(new_a, new_b)],
                template="first number changed" if pair % 2 == 0 else "second number changed",
                positions={"last": -1},
                variables={"left": a, "right": b, "sum": (a + b) % MODULUS},
            )
        )
    return PromptPairs.from_rows(rows, model=model)


def _question(a: int, b: int) -> str:
    return f" {language.NUMBERS[a]} plus {language.NUMBERS[b]} is"


def _sum(a: int, b: int) -> str:
    return language.NUMBERS[(a + b) % MODULUS]


shelf.add(
    Ability(
        name="modular_addition",
        summary="add two number words modulo eleven",
        source=Source("Nanda et al.", 2023, "https://arxiv.org/abs/2301.05217"),
        chance=1 / MODULUS,
        draw=draw,
        language="miniature",
        corruptions={"other number": "one of the two numbers is another"},
        templates={f"{place} number changed": "{left} plus {right} is" for place in ("first", "second")},
        positions=("last",),
        variables=("left", "right", "sum"),
        requirements="the number words from zero to ten as single tokens",
    )
)
