"""Labels that a probe should not be able to decode: shuffled ones, and a control task.

The control task (Hewitt and Liang, 2019, https://arxiv.org/abs/1909.03368) gives every word a random label, drawn with
the frequencies of the true labels. A probe that decodes it has learnt words by heart. *Selectivity* is the accuracy on
the true labels minus the accuracy on these. The word is the token at the probed position. If that is the same token in
almost all prompts, it is the token at the nearest earlier position whose tokens vary and occur more than once.
"""

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.probing.engines.variables import Target, tokens_at

FURTHEST = 64
"""Positions before the probed one that are looked at for a word."""


def shuffled(target: Target, seed: int) -> Tensor:
    """The labels in random order, shape [pair]."""
    return target.labels[torch.randperm(len(target), generator=torch.Generator().manual_seed(seed + 2))]


def control_task(pairs: PromptPairs, target: Target, place: Tensor, seed: int) -> tuple[Tensor | None, int]:
    """A random label for each word, shape [pair], and how many positions before the probed one the word stands.

    None where no position has words that vary and recur.
    """
    for back in range(FURTHEST):
        try:
            words = tokens_at(pairs, place - back).numpy()
        except InputError:  # before the start of a prompt
            return None, 0
        types, word_of, counts = np.unique(words, return_inverse=True, return_counts=True)
        recur = counts[word_of] > 1
        if len(types) >= max(4, target.n_classes or 4) and recur.mean() > 0.5:
            rng = np.random.default_rng([seed, 3])
            values = rng.choice(target.labels.numpy(), size=len(types))
            found = torch.from_numpy(values[word_of])
            if len({*values.tolist()}) > 1:
                return found, back
    return None, 0
