"""Induction: a segment of random tokens begins to repeat, and the model continues it.

The last token of the prompt occurs once before, in the first pass through the segment. The answer is the token that
follows it there. In the corrupted prompt this first occurrence and another token of the first pass are swapped. The
last token is then followed by the other token's successor, which is the foil. Both prompts hold the same tokens; only
their order in the first pass differs. What changes is the token *before* the answer. In an induction circuit a
previous-token head writes this token to the keys of an induction head.
"""

import numpy as np
import torch

from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

SEGMENT = 16
REPEATED = 4


def draw(model: HookedModel, n: int, rng: np.random.Generator) -> PromptPairs:
    ordinary = np.array(model.ordinary_ids)
    if len(ordinary) < SEGMENT:
        raise InputError(f"induction needs {SEGMENT} different ordinary tokens, but {model.spec} has {len(ordinary)}")
    segments = np.stack([rng.choice(ordinary, size=SEGMENT, replace=False) for _ in range(n)])
    asked = np.full(n, REPEATED - 1)
    other = rng.integers(REPEATED, SEGMENT - 1, size=n)
    rows = np.arange(n)
    swapped = segments.copy()
    swapped[rows, asked], swapped[rows, other] = segments[rows, other], segments[rows, asked]
    first = np.full((n, len(model.bos)), model.bos or 0)
    repeat = segments[:, :REPEATED]
    offset = len(model.bos)
    return PromptPairs(
        clean=torch.from_numpy(np.concatenate([first, segments, repeat], axis=1)),
        corrupt=torch.from_numpy(np.concatenate([first, swapped, repeat], axis=1)),
        answer=torch.from_numpy(segments[rows, asked + 1]),
        foil=torch.from_numpy(segments[rows, other + 1]),
        templates=("repeated segment",) * n,
        positions={
            "first occurrence": torch.from_numpy(asked + offset),
            "after first occurrence": torch.from_numpy(asked + 1 + offset),
            "last": torch.full((n,), offset + SEGMENT + REPEATED - 1),
        },
        variables={"repeated token": torch.from_numpy(segments[rows, asked]), "next token": segments[rows, asked + 1]},
        continuation=torch.from_numpy(segments[:, REPEATED:]),
    )


shelf.add(
    Ability(
        name="induction",
        summary="continue a repeated segment of random tokens",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        chance=1 / (SEGMENT - REPEATED),
        draw=draw,
        language="",
        corruptions={"swapped": "the first occurrence of the last token and another token exchange their places"},
        templates={"repeated segment": f"{SEGMENT} random tokens, then the first {REPEATED} of them again"},
        positions=("first occurrence", "after first occurrence", "last"),
        variables=("repeated token", "next token"),
        requirements=f"{SEGMENT} ordinary tokens",
    )
)
