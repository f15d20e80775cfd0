"""Abilities that are wordings with slots: the item names the wordings and fills the slots, the rest is done here.

1. `_words_of` reads the word lists of the item, keeps the words of the split, and those that are one token where the
   item asks for it.
2. For each pair, the item's `fill` gets a `Setting` from which it takes words, and returns a `Scene`: the text of every
   slot in the clean prompt, the text of the slots that the corruption changes, the answer and the foil.
3. `_express` writes both prompts and encodes them. It refuses a scene if the two prompts differ in length, if a slot
   ends at different tokens in them, or if the answer is not one token. Then other words are drawn, at most `TRIES`
   times. A wording for which no words are found is left out; if it was asked for by name, or is the only one, that is
   an error.

A position is the last token of a slot. The clean prompts do not depend on the corruption, unless its words had to be
drawn again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from string import Formatter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from interp_emerge.abilities._reading import prompt_ids
from interp_emerge.abilities._words import of_split, single, words
from interp_emerge.abilities.base import (
    DISTRACTOR,
    NAME_SWAP,
    PARAPHRASE,
    SHIFTED,
    Ability,
    Choice,
    Language,
    Split,
    require_tokenizer,
)
from interp_emerge.abilities.pairs import Pair, PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.core.tokens.lexicon import LEAVE_OUT, Lexicon

log = logging.getLogger(__name__)
_ADDS_ONE: WeakKeyDictionary[Lexicon, dict[tuple[str, str], bool]] = WeakKeyDictionary()
"""For each tokenizer in use, what `Setting.adds_one_token` has found."""
TRIES, TRIES_AFTER_A_FAILURE = 200, 50
"""How many scenes are tried for one pair before its wording is left out; the second if no other wording has worked."""
OPENINGS = ("It was a quiet morning. ", "The weather had been mild for days. ", "Nothing else happened that week. ")
CODE_OPENINGS = ("# Notes on the lines below.\n", "import sys\n\n", "# This file is short and has no tests.\n")


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """What a corruption does, and the slots whose text it replaces. All other slots stay as they are."""

    about: str
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The words of one pair: the text of each slot, the slots that differ in the corrupted prompt, and the answers.

    Of a list of answers, those that are not one token after the prompt are left out.
    """

    clean: Mapping[str, str]
    corrupt: Mapping[str, str]
    answer: str | Sequence[str]
    foil: str | Sequence[str]
    variables: Mapping[str, int] = field(default_factory=dict)


class _UnfitError(Exception):
    """A scene that the tokenizer cannot express; the message says why."""


class Setting:
    """What `fill` draws from: words, the name of the wording and of the corruption, and the tokenizer."""

    def __init__(
        self,
        model: HookedModel,
        rng: np.random.Generator,
        choice: Choice,
        template: str,
        lists: Mapping[str, list[Any]],
    ) -> None:
        """`lists` holds the entries of each word list that this split and tokenizer may use."""
        self.model, self.rng, self.template, self.corruption = model, rng, template, choice.corruption
        self._split: Split = choice.split
        self._lists = lists

    def several(self, of: str | Sequence[Any], n: int, *, but: Collection[Any] = ()) -> list[Any]:
        """`n` different entries of a word list or of a sequence, in random order, none of them in `but`."""
        known = self._lists[of] if isinstance(of, str) else of_split(of, self._split)
        left = [entry for entry in known if entry not in but]
        if len(left) < n:
            raise _UnfitError(f"only {len(left)} words are left to choose {n} from")
        return [left[place] for place in self.rng.choice(len(left), size=n, replace=False)]

    def one(self, of: str | Sequence[Any], *, but: Collection[Any] = ()) -> Any:
        """A random entry of a word list or of a sequence."""
        return self.several(of, 1, but=but)[0]

    def coin(self) -> bool:
        """True or False at random."""
        return bool(self.rng.integers(2))

    def adds_one_token(self, before: str, after: str) -> bool:
        """Whether a text adds exactly one token to the text before it. The answer is kept: ask for fixed texts only."""
        known = _ADDS_ONE.setdefault(self.model.lexicon, {})
        if (before, after) not in known:
            try:
                _following(self.model, before, prompt_ids(self.model, before), [after])
                known[before, after] = True
            except (_UnfitError, InputError):
                known[before, after] = False
        return known[before, after]

    def in_split(self, *entries: Any) -> bool:
        """Whether each of these belongs to the split; for entries that are drawn freely, not from a list."""
        halves = {sha256(str(entry).encode()).digest()[0] % 2 for entry in entries}
        return not self._split or halves == {("discovery", "evaluation").index(self._split)}

    def refuse(self, why: str) -> _UnfitError:
        """An error to raise if the words drawn do not do."""
        return _UnfitError(why)


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """An ability as wordings with slots such as `{name}`; `fill` returns the text of the slots for one pair."""

    name: str
    summary: str
    source: Source
    chance: float
    templates: Mapping[str, str]
    corruptions: Mapping[str, Corruption]
    positions: Mapping[str, str]
    """Name of each position, and the slot at whose last token it is. `last` is added."""
    variables: tuple[str, ...]
    fill: Callable[[Setting], Scene]
    single: Mapping[str, int] = field(default_factory=dict)
    """Word lists whose words have to be one token, with the number of words that a draw needs."""
    lists: tuple[str, ...] = ()
    """Other word lists."""
    needs: str = ""
    """What else the tokenizer has to offer."""
    paraphrases: Mapping[str, str] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)
    """Word lists that the variation `name swap` replaces, with the list to use instead."""
    distractors: tuple[str, ...] = ()
    """Sentences for the front of a prompt that could mislead; they may contain slots."""
    openings: tuple[str, ...] = OPENINGS
    """Texts for the front of a prompt that only shift it."""
    language: Language = "English"

    def ability(self) -> Ability:
        """The item of the shelf."""
        offered = {
            PARAPHRASE: self.paraphrases,
            NAME_SWAP: self.swaps,
            DISTRACTOR: self.distractors,
            SHIFTED: self.openings,
        }
        return Ability(
            name=self.name,
            summary=self.summary,
            source=self.source,
            chance=self.chance,
            language=self.language,
            templates=self.templates,
            paraphrases=self.paraphrases,
            positions=(*self.positions, "last"),
            variables=self.variables,
            corruptions={name: one.about for name, one in self.corruptions.items()},
            variations=tuple(name for name, means in offered.items() if means),
            requirements=self._requirements(),
            draw=self.draw,
            chosen=True,
        )

    def draw(self, model: HookedModel, n: int, rng: np.random.Generator, choice: Choice) -> PromptPairs:
        """`n` pairs; the wordings take turns.

        Raises:
            InputError: the tokenizer cannot express a wording that was asked for, or any wording.
        """
        require_tokenizer(model, self.name)
        lists, wordings = self._words_of(model, choice), self._wordings(choice)
        left, rows = list(choice.templates or wordings), []
        seeds = rng.integers(2**62, size=n)
        while len(rows) < n:
            template = left[len(rows) % len(left)]
            tries = TRIES if rows or len(left) == len(wordings) else TRIES_AFTER_A_FAILURE
            found = self._pair(model, int(seeds[len(rows)]), choice, template, wordings[template], lists, tries)
            if isinstance(found, Pair):
                rows.append(found)
                continue
            if choice.templates or len(left) == 1:
                # The prompts are not the user's, so the advice for a text of one's own does not apply.
                raise InputError(f"the tokenizer of {model.spec} cannot express {self.name!r} ({template}), which is "
                                 f"written in {self.language}: of {tries} tries none did, most often because "
                                 f"{found.removesuffix(LEAVE_OUT)}; it needs {self._requirements()}")  # fmt: skip
            log.info("%s: the wording %r is left out, because %s", self.name, template, found)
            left.remove(template)
        return PromptPairs.from_rows(rows)

    def _wordings(self, choice: Choice) -> Mapping[str, str]:
        return self.paraphrases if choice.variation == PARAPHRASE else self.templates

    def _requirements(self) -> str:
        listed = [
            f"{least} of {len(words(name))} words of {name} as single tokens" for name, least in self.single.items()
        ]
        return "; ".join([*listed, *([self.needs] if self.needs else [])]) or "the letters of English"

    def _words_of(self, model: HookedModel, choice: Choice) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for name in (*self.single, *self.lists):
            swapped = self.swaps.get(name, name) if choice.variation == NAME_SWAP else name
            whole = words(swapped)
            usable = of_split(whole, choice.split)
            if name in self.single:
                usable, needed = single(model, usable), self.single[name]
                if len(usable) < needed:
                    part = f" in the {choice.split} half" if choice.split else ""
                    raise InputError(f"{self.name} needs at least {needed} of the words {swapped}{part} as single "
                                     f"tokens (such as {_first(whole)!r}), but the tokenizer of {model.spec} has only "
                                     f"{len(usable)}")  # fmt: skip
            found[name] = usable
        return found

    def _pair(
        self,
        model: HookedModel,
        seed: int,
        choice: Choice,
        template: str,
        wording: str,
        lists: Mapping[str, list[Any]],
        tries: int,
    ) -> Pair | str:
        """One pair, or the most frequent reason why there is none."""
        refused: Counter[str] = Counter()
        for attempt in range(tries):
            setting = Setting(model, np.random.default_rng([seed, attempt]), choice, template, lists)
            try:
                scene = self.fill(setting)
                front = self._front(choice, np.random.default_rng([seed, attempt, 1]))
                return self._express(model, front + wording, scene, template, choice.corruption)
            except (_UnfitError, InputError) as error:
                refused[str(error)] += 1
        return refused.most_common(1)[0][0]

    def _front(self, choice: Choice, rng: np.random.Generator) -> str:
        texts = {DISTRACTOR: self.distractors, SHIFTED: self.openings}.get(choice.variation, ("",))
        return texts[rng.integers(len(texts))]

    def _express(self, model: HookedModel, wording: str, scene: Scene, template: str, corruption: str) -> Pair:
        changes, slots = {*self.corruptions[corruption].changes}, {**scene.clean}
        assert {*scene.corrupt} <= changes, f"{corruption!r} of {self.name} changes {[*scene.corrupt]}"
        assert {*scene.variables} == {*self.variables}, f"{self.name} names the variables {[*scene.variables]}"
        texts, ids, places = [], [], []
        for filled in (slots, slots | {**scene.corrupt}):
            text, ends = _written(wording, filled)
            tokens = prompt_ids(model, text)
            texts.append(text)
            ids.append(tokens)
            places.append({name: _place(model, text[: ends[slot]], tokens) for name, slot in self.positions.items()})
        answers, foils = (
            _following(model, texts[0], ids[0], [one] if isinstance(one, str) else one)
            for one in (scene.answer, scene.foil)
        )
        if {*answers} & {*foils}:
            raise _UnfitError("an answer and a foil begin with the same token")
        if len(ids[0]) != len(ids[1]) or places[0] != places[1]:
            raise _UnfitError("the words of the clean and the corrupted prompt have different numbers of tokens")
        if ids[0] == ids[1]:
            raise _UnfitError("the clean and the corrupted prompt are the same")
        return Pair(
            clean=ids[0],
            corrupt=ids[1],
            answer=answers,
            foil=foils,
            template=template,
            positions={**places[0], "last": -1},
            variables=scene.variables,
        )


def _first(entries: Sequence[Any]) -> str:
    entry = entries[0]
    while not isinstance(entry, str):
        entry = entry[0]
    return entry


def _written(wording: str, slots: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """The wording with its slots filled, and the place at which each slot ends."""
    text, ends = "", {}
    for literal, slot, _, _ in Formatter().parse(wording):
        text += literal
        if slot is not None:
            text += slots[slot]
            ends[slot] = len(text)
    return text, ends


def _place(model: HookedModel, until: str, tokens: list[int]) -> int:
    """Index of the last token of the text up to the end of a slot."""
    before = prompt_ids(model, until)
    if tokens[: len(before)] != before:
        raise _UnfitError(f"the tokenizer merges the end of {until[-12:]!r} with what follows")
    return len(before) - 1


def _following(model: HookedModel, text: str, tokens: list[int], answers: Sequence[str]) -> list[int]:
    """Ids of the answers that are one token after the prompt, each once."""
    found: dict[int, None] = {}
    for answer in answers:
        whole = prompt_ids(model, text + answer)
        if whole[: len(tokens)] == tokens and len(whole) == len(tokens) + 1:
            found[whole[-1]] = None
    if not found:
        raise _UnfitError(f"an answer such as {answers[0]!r} is not one token after the prompt")
    return [*found]
