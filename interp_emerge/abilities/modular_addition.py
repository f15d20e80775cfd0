"""Addition of two number words modulo eleven; the corrupted prompt changes one of the two numbers."""

import numpy as np
import torch

from interp_emerge.abilities import _language as language, shelf
from interp_emerge.abilities.base import Ability, PromptPairs, single_tokens, stack_prompts
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

MODULUS = len(language.NUMBERS)


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    numbers = single_tokens(model, language.NUMBERS, at_least=MODULUS, wanted_for="modular_addition")
    left, right = rng.integers(MODULUS, size=(2, n))
    other = (right + rng.integers(1, MODULUS, size=n)) % MODULUS
    changed = np.arange(n) % 2
    clean = [f" {language.NUMBERS[a]} plus {language.NUMBERS[b]} is" for a, b in zip(left, right, strict=True)]
    moved = (other - right) % MODULUS
    new_left = np.where(changed == 0, (left + moved) % MODULUS, left)
    new_right = np.where(changed == 1, other, right)
    corrupt = [
        f" {language.NUMBERS[a]} plus {language.NUMBERS[b]} is" for a, b in zip(new_left, new_right, strict=True)
    ]
    ids = torch.tensor([numbers[word] for word in language.NUMBERS])
    tokens = stack_prompts(model, clean)
    return PromptPairs(
        clean=tokens,
        corrupt=stack_prompts(model, corrupt),
        answer=ids[torch.from_numpy((left + right) % MODULUS)],
        foil=ids[torch.from_numpy((new_left + new_right) % MODULUS)],
        templates=tuple(np.where(changed == 0, "first number changed", "second number changed").tolist()),
        positions={"last": torch.full((n,), tokens.shape[1] - 1)},
        variables={"left": left, "right": right, "sum": (left + right) % MODULUS},
    )


shelf.add(
    Ability(
        name="modular_addition",
        summary="add two number words modulo eleven",
        source=Source("Nanda et al.", 2023, "https://arxiv.org/abs/2301.05217"),
        chance=1 / MODULUS,
        draw=draw,
    )
)
