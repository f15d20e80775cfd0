"""The class `Ability`: a task with its prompt pairs, its chance level and its source."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from interp_emerge.abilities.own.showing import with_names
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError, counted, require_kind
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.source import Source

Split = Literal["", "discovery", "evaluation"]
"""Which half of an ability's words the prompts use: empty for all words."""
Language = Literal["", "miniature", "English", "code"]
"""What the prompts are written in: empty for random tokens, `miniature` for the language of the bundled family."""
WITHOUT_TOKENIZER = (
    "choose a family that has one, or an ability of random tokens such as induction; in Python "
    "ie.hook(model, tokenizer=tokenizer) adds one"
)
"""What to do about a model without a tokenizer."""
PARAPHRASE, NAME_SWAP, DISTRACTOR, SHIFTED = VARIATIONS = ("paraphrase", "name swap", "distractor", "shifted position")
"""Changes of the prompts that keep the task: other wordings, rarer words, a sentence that distracts in front, or a
sentence in front that only shifts the positions."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `Ability.sample` was asked for, after the names were checked. No templates means all of them."""

    corruption: str = ""
    templates: tuple[str, ...] = ()
    split: Split = ""
    variation: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ability(Record):
    """A task that a model can do or fail to do, with the accuracies of a guess and of a perfect model.

    `chance` is the accuracy of the best guess without the ability. `ceiling` is the accuracy of a perfect model.
    `draw` makes prompt pairs from a model, the number of pairs and a random generator. `control` marks a negative
    control: models of every size learn it smoothly, so an analysis that calls it emergent is wrong.
    """

    name: str
    summary: str
    source: Source
    chance: float
    draw: Callable[..., PromptPairs]
    """A function of model, number of pairs and generator. If `chosen` is True, it takes a `Choice` as fourth."""
    ceiling: float = 1.0
    control: bool = False
    language: Language = "English"
    corruptions: Mapping[str, str] = field(default_factory=dict)
    """Names of the corruptions, the default first, with what each one changes."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Names of the wordings, with their text."""
    paraphrases: Mapping[str, str] = field(default_factory=dict)
    """Names and texts of the wordings that the variation `paraphrase` uses instead."""
    positions: tuple[str, ...] = ()
    """Names of the positions in the prompts; every ability has `last`."""
    variables: tuple[str, ...] = ()
    """Names of the properties of a pair."""
    variations: tuple[str, ...] = ()
    """Those of `VARIATIONS` that make sense here."""
    requirements: str = ""
    """What the tokenizer has to offer."""
    chosen: bool = False
    """Whether corruption, templates, split and variation can be chosen."""

    def __repr__(self) -> str:
        wordings = f", {counted(len(self.templates), 'template')}" if self.templates else ""
        corruptions = f", corruptions {', '.join(map(repr, self.corruptions))}" if self.corruptions else ""
        return f"{type(self).__name__}({self.name}, chance {self.chance:g}{wordings}{corruptions})"

    @property
    def key(self) -> str:
        """What identifies the ability in the names of results: its name, and for a file also a hash of its content."""
        return self.name

    @checked
    def sample(
        self,
        model: HookedModel,
        n: int = 64,
        seed: int = 0,
        *,
        corruption: str = "",
        templates: Sequence[str] = (),
        split: Split = "",
        variation: str = "",
    ) -> PromptPairs:
        """`n` prompt pairs for this model's tokenizer; the same arguments and tokenizer give the same pairs.

        Example:
            >>> pairs = ie.load_ability("induction").sample(model, 64, seed=0)

        Args:
            model: its tokenizer encodes the prompts.
            n: number of pairs.
            seed: seed of the words and their order.
            corruption: how the corrupted prompts differ, one of `corruptions`; empty for the first.
            templates: names of the wordings to use, from `templates`; empty for all.
            split: `discovery` and `evaluation` use different words, so that no prompt is in both; empty for all words.
            variation: a change that keeps the task, one of `variations`; empty for none.

        Raises:
            UnknownNameError: the ability has no corruption, template or variation of that name.
            InputError: the ability leaves no such choice, the tokenizer cannot express the prompts, or they do not fit
                the model's context.
        """
        if n < 1:
            raise InputError(f"{n} pairs were asked for; give at least 1")
        named = (templates,) if isinstance(templates, str) else tuple(templates)
        choice = self._choice(corruption, named, split, variation)
        rng = np.random.default_rng([seed, _stable_number(self.name)])
        pairs = self.draw(model, n, rng, choice) if self.chosen else self.draw(model, n, rng)
        require_kind(pairs, PromptPairs, f"what ability {self.name!r} draws", "PromptPairs")
        pairs = pairs.of_ability(self.name)
        require_pairs(model, pairs)
        return with_names(pairs, model)

    def _choice(self, corruption: str, templates: tuple[str, ...], split: Split, variation: str) -> Choice:
        wordings = self.paraphrases if variation == PARAPHRASE else self.templates
        for kind, given, known in (
            ("corruption", [corruption] if corruption else [], self.corruptions),
            ("variation", [variation] if variation else [], self.variations),
            ("template", templates, wordings),
        ):
            for name in given:
                if name not in known:
                    raise UnknownNameError(f"{kind} of {self.name}", name, known)
        left_out = {"templates": 0 < len(templates) < len(wordings), "split": bool(split)}
        if not self.chosen and any(left_out.values()):
            option = next(name for name, given in left_out.items() if given)
            raise InputError(f"ability {self.name!r} draws all its prompts in one way; leave out {option}, and use "
                             "different seeds for different prompts")  # fmt: skip
        first = next(iter(self.corruptions), "")
        return Choice(corruption=corruption or first, templates=templates, split=split, variation=variation)


def single_tokens(model: HookedModel, words: Sequence[str], *, at_least: int, wanted_for: str) -> dict[str, int]:
    """The words that the tokenizer encodes as one token inside a sentence, with their token ids.

    Raises:
        InputError: fewer than `at_least` words qualify, or the model has no tokenizer.
    """
    require_tokenizer(model, wanted_for)
    tokens = {word: model.lexicon.single_token(word) for word in words}
    found = {word: token for word, token in tokens.items() if token is not None}
    if len(found) < at_least:
        raise InputError(f"{wanted_for} needs at least {at_least} of {len(words)} words such as {words[0]!r} as single "
                         f"tokens, but the tokenizer of {model.spec} has only {len(found)}")  # fmt: skip
    return found


def require_tokenizer(model: HookedModel, wanted_for: str) -> None:
    """Raise an `InputError` if the model has no tokenizer."""
    if model.lexicon.tokenizer is None:
        raise InputError(f"the prompts of {wanted_for} are text, but {model.spec} has no tokenizer; "
                         f"{WITHOUT_TOKENIZER}")  # fmt: skip


def _stable_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
