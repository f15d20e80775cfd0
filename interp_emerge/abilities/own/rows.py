"""From rows of text or token ids to the arrays of `PromptPairs`: encode, find where answers differ, find positions."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from interp_emerge.abilities._reading import ArrayLike, as_answers, prompt_ids, require_text_model
from interp_emerge.abilities.own.completions import Completions, common_beginning, without_continued
from interp_emerge.abilities.own.encoding import Encoding
from interp_emerge.abilities.own.places import Place, TextPlaces, is_text_place
from interp_emerge.core.errors import InputError, counted, require_kind
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pair(Record):
    """One pair: a row of `PromptPairs.from_rows`.

    Prompts, answers and foils are text or token ids. `answer` is correct after the clean prompt, `foil` after the
    corrupted one; give a list if several are correct. The other fields are those of `PromptPairs`, for one pair.
    If a prompt is text, the tokens in `model.bos` stand before it, and `positions` count them too. In prompts of text
    a position can be a text, for the index of its last token; see `PromptPairs.from_text`.

    Example:
        >>> row = ie.Pair(clean=" Mary met John", corrupt=" Mary met Anna", answer=" and", foil=" .")
        >>> ie.PromptPairs.from_rows([row], model=model)
        PromptPairs(1 pair of 4 tokens)
    """

    clean: str | ArrayLike
    corrupt: str | ArrayLike
    answer: str | int | np.integer | ArrayLike
    foil: str | int | np.integer | ArrayLike
    template: str = ""
    positions: Mapping[str, Place] = field(default_factory=dict)
    variables: Mapping[str, int | float | str] = field(default_factory=dict)


def pairs_of_lists(lists: Mapping[str, Any], positions: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Pair]:
    """Rows from lists with one entry for each pair; a position that is not a list is the same for all pairs.

    Raises:
        InputError: a list does not have one entry for each clean prompt.
    """
    for name, values in lists.items():
        if isinstance(values, str):
            raise InputError(f"{name} cannot be the single text {values!r}; give a list, one text for each pair")
    lists = {name: [*values] for name, values in lists.items()}
    n = len(lists["clean"])
    columns = {name: values for name, values in lists.items() if name != "template" or values}
    by_name = {
        ("positions", name): [*given] if isinstance(given, list) or hasattr(given, "tolist") else [given] * n
        for name, given in positions.items()
    }
    for name, given in variables.items():
        require_kind(given, Iterable, f"variable {name!r}", "a list, one value for each pair")
        if isinstance(given, str):
            raise InputError(f"variable {name!r} cannot be the single text {given!r}; give a list, one for each pair")
        values: Any = given
        by_name["variables", name] = values.tolist() if hasattr(values, "tolist") else [*values]
    named = {**columns, **{f"{kind[:-1]} {name!r}": values for (kind, name), values in by_name.items()}}
    for name, values in named.items():
        if len(values) != n:
            raise InputError(f"{name} has {len(values)} entries for {n} clean prompts; give one for each")
    rows: list[dict[str, Any]] = [
        {name: values[row] for name, values in columns.items()}
        | {
            kind: {name: values[row] for (of, name), values in by_name.items() if of == kind}
            for kind in ("positions", "variables")
        }
        for row in range(n)
    ]
    return [Pair(**row) for row in rows]


def fields_of_rows(rows: Iterable[Pair], model: HookedModel | None) -> dict[str, Any]:
    """The arguments of `PromptPairs` that these rows make.

    Raises:
        InputError: see `PromptPairs.from_rows`.
    """
    rows = [*rows]
    if not rows:
        raise InputError("no rows; give at least one pair")
    for number, row in enumerate(rows):
        require_kind(row, Pair, f"row {number}", "ie.Pair(clean=..., corrupt=..., answer=..., foil=...)")
        for name in ("positions", "variables"):
            require_kind(getattr(row, name), Mapping, f"{name} of pair {number}", "a dict from names to values")
    names = {(frozenset(row.positions), frozenset(row.variables)) for row in rows}
    if len(names) > 1:
        raise InputError("the rows name different positions or variables; use the same names in all rows")
    if model is not None:
        _warn_of_joined_words(rows, model)
    bar = tqdm(rows, desc="prompts", unit="pair", delay=2, leave=False)
    read = [_Read.of(row, model, number) for number, row in enumerate(bar)]
    fields: dict[str, Any] = {
        "clean": [one.clean for one in read],
        "corrupt": [one.corrupt for one in read],
        "answer": [one.first(one.answers) for one in read],
        "foil": [one.first(one.foils) for one in read],
        "templates": [row.template for row in rows] if any(row.template for row in rows) else (),
        "positions": {name: [one.positions[name] for one in read] for name in rows[0].positions},
        "variables": {name: [row.variables[name] for row in rows] for name in rows[0].variables},
    }
    if any(len(tokens) > 1 for one in read for tokens in (*one.answers, *one.foils)) or any(
        one.appended for one in read
    ):
        appended = [one.appended for one in read]
        fields["completions"] = Completions.of_lists(
            [one.answers for one in read], [one.foils for one in read], appended
        )
        fields["continuation"] = fields["completions"].answers[:, 0]
    if model is not None and model.tokenizer is not None and any(one.has_text for one in read):
        fields["encoding"] = Encoding.of(model, (token for one in read for token in one.ids))
    return fields


def _warn_of_joined_words(rows: Sequence[Pair], model: HookedModel) -> None:
    """Say so if answers continue the last word of their prompt, where a space makes other tokens."""
    joined = [
        (number, prompt, text)
        for number, row in enumerate(rows)
        for prompt, given in ((row.clean, row.answer), (row.corrupt, row.foil))
        for text in ([given] if isinstance(given, str) else given if isinstance(given, list) else [])
        if isinstance(text, str) and isinstance(prompt, str) and prompt[-1:].isalnum() and text[:1].isalnum()
    ]
    if not joined:
        return
    number, prompt, text = joined[0]
    if model.lexicon.continuation(prompt + text) == model.lexicon.continuation(f"{prompt} {text}"):
        return
    more = f", and {len(joined) - 1:,} more" if joined[1:] else ""
    log.warning("answer or foil %r of pair %d%s: read as the rest of the word %r; for a new word begin it with a "
                "space, %r", text, number, more, prompt.split()[-1] + text, f" {text}")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Read:
    """One row as token ids. The prompts end before the first token at which answers and foils differ."""

    clean: list[int]
    corrupt: list[int]
    answers: list[list[int]]
    foils: list[list[int]]
    appended: int
    positions: dict[str, int]
    has_text: bool

    @classmethod
    def of(cls, row: Pair, model: HookedModel | None, number: int) -> "_Read":
        clean, corrupt = prompt_ids(model, row.clean), prompt_ids(model, row.corrupt)
        answers = _sequences(model, row, "clean", as_answers(row.answer, f"answer of pair {number}"), "answer", number)
        foils = _sequences(model, row, "corrupt", as_answers(row.foil, f"foil of pair {number}"), "foil", number)
        several = any(len(one) > 1 for one in (*answers, *foils))
        shared = _appended(model, answers, foils, number) if several else 0
        appended = answers[0][:shared]
        return cls(
            clean=clean + appended,
            corrupt=corrupt + appended,
            answers=[one[shared:] for one in answers],
            foils=[one[shared:] for one in foils],
            appended=shared,
            positions=_positions(model, row, (clean, corrupt), shared, number),
            has_text=any(isinstance(part, str) for part in (row.clean, row.corrupt)),
        )

    @staticmethod
    def first(sequences: Sequence[Sequence[int]]) -> list[int]:
        """The different first tokens, in order."""
        return [*dict.fromkeys(tokens[0] for tokens in sequences)]

    @property
    def ids(self) -> list[int]:
        """Every token of the row."""
        return [*self.clean, *self.corrupt, *(token for one in (*self.answers, *self.foils) for token in one)]


def _sequences(
    model: HookedModel | None, row: Pair, which: str, following: Sequence[str | int], name: str, number: int
) -> list[list[int]]:
    """The tokens that each answer or foil adds to its prompt; those that only continue another one are left out."""
    prompt = getattr(row, which)
    found = [tokens_after(model, prompt, one) for one in following]
    for at, tokens in enumerate(found):
        if tokens in found[:at]:
            raise InputError(f"pair {number} has the {name} {following[at]!r} twice; give each once")
    other = row.corrupt if which == "clean" else row.clean
    if (
        isinstance(following[0], str)
        and isinstance(other, str)
        and tokens_after(model, other, following[0]) != found[0]
    ):
        raise InputError(f"the {name} {following[0]!r} of pair {number} has other tokens after the clean prompt than "
                         "after the corrupted one; end both prompts alike")  # fmt: skip
    return without_continued(found)


def tokens_after(model: HookedModel | None, prompt: str | ArrayLike, following: str | int) -> list[int]:
    """Ids of the tokens that the text `following` adds to a prompt; a token id is returned unchanged.

    Raises:
        InputError: the text is empty or merges with the end of the prompt, or there is no model or prompt as text.
    """
    if not isinstance(following, str):
        return [int(following)]
    if model is None or not isinstance(prompt, str):
        raise InputError(f"the answer {following!r} is text; give its prompt as text too, and model=..., whose "
                         "tokenizer reads both")  # fmt: skip
    if not following:
        raise InputError(f"an answer after {prompt[-20:]!r} is empty text; give at least one token, such as ' Mary'")
    before, both = model.lexicon.continuation(prompt), model.lexicon.continuation(prompt + following)
    added = both[len(before) :]
    if both[: len(before)] != before or not added:
        raise InputError(f"the tokenizer of {model.spec} merges {following!r} with the end of its prompt "
                         f"{prompt[-20:]!r}; move the space to the front of the answer")  # fmt: skip
    return added


def _appended(
    model: HookedModel | None, answers: Sequence[Sequence[int]], foils: Sequence[Sequence[int]], number: int
) -> int:
    """How many first tokens all answers and foils share; the next one tells answers from foils."""
    assert model is not None
    shared = common_beginning([*answers, *foils])
    words = {name: [model.words(one) for one in of] for name, of in (("answer", answers), ("foil", foils))}
    ended = [name for name, of in (("answer", answers), ("foil", foils)) for one in of if len(one) == shared]
    if {*ended} == {"answer", "foil"}:
        raise InputError(f"pair {number} has the same token as answer and foil; they have to differ")
    if ended:
        raise InputError(f"the {ended[0]} of pair {number} is only the beginning of its other answers and foils "
                         f"({words['answer'][0]}, {words['foil'][0]}); give answers and foils of which none continues "
                         "another")  # fmt: skip
    both = {one[shared] for one in answers} & {one[shared] for one in foils}
    if both:
        (word, *_) = model.words(sorted(both))
        at = f" after the {counted(shared, 'token')} that all share" if shared else ""
        raise InputError(f"pair {number} has the token {word!r} as the beginning of an answer and of a foil{at}, so no "
                         "single token tells answers from foils; leave out the answers or foils that begin "
                         "alike")  # fmt: skip
    return shared


def _positions(
    model: HookedModel | None, row: Pair, ids: tuple[list[int], list[int]], appended: int, number: int
) -> dict[str, int]:
    """The index of each named position; text is looked up in both prompts."""
    found: dict[str, int] = {}
    places: TextPlaces | None = None
    for name, place in row.positions.items():
        if not is_text_place(place):
            index: Any = place
            if appended and isinstance(index, int) and index < -1:
                raise InputError(f"position {name!r} of pair {number} is {index}, but its answers share their first "
                                 f"{counted(appended, 'token')}, which stand at the end of the prompts; count from the "
                                 "start, or give the text")  # fmt: skip
            found[name] = index
            continue
        if places is None:
            named = require_text_model(model, row.clean, row.corrupt, f"position {name!r} of pair {number}")
            both = ("clean", "corrupt")
            prompts: Any = (row.clean, row.corrupt)
            places = TextPlaces(named, dict(zip(both, prompts, strict=True)), dict(zip(both, ids, strict=True)), number)
        found[name] = places.index(name, place)
    return found
