"""Positions in prompts by the text that stands there: the index of the last token of that text."""

from collections.abc import Mapping, Sequence
from typing import Any

from interp_emerge.core.errors import InputError, described
from interp_emerge.core.model import HookedModel
from interp_emerge.core.tokens.spans import last_token_of, spans_of

Place = int | str | Sequence[Any] | Mapping[str, Any]
"""An index; a text; a text with which of its occurrences is meant, as ("John", 2); or one such for each prompt, as
{"clean": ("John", 2), "corrupt": ("Mary", 2)}. Occurrences count from 1, or from the end as -1, -2 ..."""
WANTED = 'an index, a text, or a text and which occurrence, such as ["John", 2]'


class TextPlaces:
    """Finds positions in the prompts of one pair. Tokens of each prompt are located once."""

    def __init__(self, model: HookedModel, prompts: Mapping[str, str], ids: Mapping[str, list[int]], pair: int) -> None:
        """`prompts` and `ids` are the clean and the corrupted prompt; the ids begin with `model.bos`."""
        self._model, self._prompts, self._ids, self._pair = model, prompts, ids, pair
        self._spans: dict[str, list[tuple[int, int]]] = {}

    def index(self, name: str, place: Any) -> int:
        """The index of the last token of a text, the same in both prompts.

        Raises:
            InputError: the text is not in a prompt, is there several times and it is not said which one is meant, or
                ends at different tokens of the two prompts.
        """
        if isinstance(place, Mapping):
            if {*place} != {"clean", "corrupt"}:
                raise InputError(f"{self._of(name)} has the keys {sorted(map(str, place))}; give 'clean' and 'corrupt'")
            found = {which: self._in(name, which, *_text_and_occurrence(one, name)) for which, one in place.items()}
            return self._same(name, found["clean"], found["corrupt"])
        text, occurrence = _text_and_occurrence(place, name)
        clean = self._in(name, "clean", text, occurrence)
        numbers = [len(_occurrences(self._prompts[which], text)) for which in ("clean", "corrupt")]
        if numbers[0] == numbers[1]:
            return self._same(name, clean, self._in(name, "corrupt", text, occurrence))
        # The text was corrupted. Then the token differs, or another occurrence of the text has taken its place.
        others = {self._at("corrupt", place, text) for place in _occurrences(self._prompts["corrupt"], text)}
        if clean in others or self._ids["clean"][clean] != self._ids["corrupt"][clean]:
            return clean
        raise InputError(f"{self._of(name)}: {text!r} is {numbers[0]} times in the clean prompt and {numbers[1]} times "
                         "in the corrupted one; give both: {'clean': ..., 'corrupt': ...}")  # fmt: skip

    def _of(self, name: str) -> str:
        return f"position {name!r} of pair {self._pair}"

    def _same(self, name: str, clean: int, corrupt: int) -> int:
        if clean != corrupt:
            raise InputError(f"{self._of(name)} is token {clean} of the clean prompt and token {corrupt} of the "
                             "corrupted one; it has to be the same, because activations are exchanged position by "
                             "position")  # fmt: skip
        return clean

    def _in(self, name: str, which: str, text: str, occurrence: int | None) -> int:
        prompt = self._prompts[which]
        starts = _occurrences(prompt, text)
        if not starts:
            raise InputError(f"{self._of(name)}: {text!r} is not in the {which} prompt {_shortened(prompt)!r}")
        if occurrence is None and len(starts) > 1:
            raise InputError(f"{self._of(name)}: {text!r} is in the {which} prompt {len(starts)} times; say which one, "
                             f"such as ({text!r}, {len(starts)})")  # fmt: skip
        at = 0 if occurrence is None else occurrence - 1 if occurrence > 0 else occurrence
        if not -len(starts) <= at < len(starts):
            raise InputError(f"{self._of(name)}: {text!r} is in the {which} prompt {len(starts)} times, so there is no "
                             f"occurrence {occurrence}")  # fmt: skip
        return self._at(which, starts[at], text)

    def _at(self, which: str, start: int, text: str) -> int:
        if which not in self._spans:
            self._spans[which] = spans_of(self._model.lexicon, self._prompts[which])
        end = start + len(text.rstrip(" ") or text)
        # Only the last character counts: a token that covers it ends the text.
        last = last_token_of(self._spans[which], end - 1, end)
        if last is None:
            raise InputError(f"no token of pair {self._pair} covers the end of {text!r}; choose another position")
        return len(self._model.bos) + last


def is_text_place(place: Any) -> bool:
    """Whether a place has to be looked up in the prompts; an index does not."""
    return isinstance(place, str | Mapping | list | tuple)


def _text_and_occurrence(place: Any, name: str) -> tuple[str, int | None]:
    text, occurrence = place if isinstance(place, list | tuple) and len(place) == 2 else (place, None)
    whole = isinstance(occurrence, int) and not isinstance(occurrence, bool)
    if not isinstance(text, str) or not text or occurrence == 0 or not (occurrence is None or whole):
        raise InputError(f"position {name!r} cannot be {described(place) if text != '' else 'empty text'}; give "
                         f"{WANTED}, counted from 1")  # fmt: skip
    return text, occurrence


def _occurrences(prompt: str, text: str) -> list[int]:
    """The first character of every occurrence, overlapping ones included."""
    return [at for at in range(len(prompt) - len(text) + 1) if prompt.startswith(text, at)]


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
