"""The class `Ability`: a task with its prompt pairs, its chance level and its source."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, require_kind
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


@dataclass(frozen=True, kw_only=True)
class Ability:
    """A task that a model can do or fail to do, with the accuracies of a guess and of a perfect model.

    `chance` is the accuracy of the best guess without the ability. `ceiling` is the accuracy of a perfect model.
    `draw` makes prompt pairs from a model, the number of pairs and a random generator. `control` marks a negative
    control: models of every size learn it smoothly, so an analysis that calls it emergent is wrong.
    """

    name: str
    summary: str
    source: Source
    chance: float
    draw: Callable[[HookedModel, int, np.random.Generator], PromptPairs]
    ceiling: float = 1.0
    control: bool = False

    @property
    def key(self) -> str:
        """What identifies the ability in the names of results: its name, and for a file also a hash of its content."""
        return self.name

    @checked
    def sample(self, model: HookedModel, n: int = 64, seed: int = 0) -> PromptPairs:
        """`n` prompt pairs for this model's tokenizer; the same seed and tokenizer give the same pairs.

        Raises:
            InputError: the tokenizer cannot express the prompts, or they do not fit the model's context.
        """
        if n < 1:
            raise InputError(f"{n} pairs were asked for; give at least 1")
        pairs = self.draw(model, n, np.random.default_rng([seed, _stable_number(self.name)]))
        require_kind(pairs, PromptPairs, f"what ability {self.name!r} draws", "PromptPairs")
        pairs = pairs.of_ability(self.name)
        require_pairs(model, pairs)
        return pairs


def single_tokens(model: HookedModel, words: Sequence[str], *, at_least: int, wanted_for: str) -> dict[str, int]:
    """The words that the tokenizer encodes as one token inside a sentence, with their token ids.

    Raises:
        InputError: fewer than `at_least` words qualify, or the model has no tokenizer.
    """
    if model.lexicon.tokenizer is None:
        raise InputError(f"the prompts of {wanted_for} are text, but {model.spec} has no tokenizer; add one with "
                         "ie.hook(model, tokenizer=tokenizer)")  # fmt: skip
    tokens = {word: model.lexicon.single_token(word) for word in words}
    found = {word: token for word, token in tokens.items() if token is not None}
    if len(found) < at_least:
        raise InputError(f"{wanted_for} needs at least {at_least} of {len(words)} words such as {words[0]!r} as single "
                         f"tokens, but the tokenizer of {model.spec} has only {len(found)}")  # fmt: skip
    return found


def _stable_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
