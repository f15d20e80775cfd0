"""Prompts of abilities as text, for tests that pin them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import interp_emerge as ie
from tests.abilities.tokenizers import BUILT, speaker_of


@dataclass(frozen=True)
class Shown:
    """One pair as text. Several answers stand between bars."""

    clean: str
    corrupt: str
    answer: str
    foil: str


def shown(name: str, n: int = 12, *, tokenizer: str = BUILT[0], **options: Any) -> Iterator[Shown]:
    """Pairs of an ability as text; the default tokenizer knows every word, so the text does not depend on it."""
    model = speaker_of(tokenizer)
    pairs, decode = ie.load_ability(name).sample(model, n, **options), model.lexicon.tokenizer.decode
    for row in range(n):
        pair = pairs[row]
        answer, foil = ("|".join(decode([token]) for token in ids[0].tolist()) for ids in (pair.answers, pair.foils))
        yield Shown(decode(pair.clean[0]), decode(pair.corrupt[0]), answer, foil)


def golden(name: str, **options: Any) -> Shown:
    """The first pair, drawn with seed 0."""
    return next(shown(name, **options))
