"""Word lists of the abilities in English and code: the files in `words/`, their halves, and which are one token."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

from interp_emerge.abilities.base import Split
from interp_emerge.core.model import HookedModel
from interp_emerge.core.tokens.lexicon import Lexicon

_SINGLE: WeakKeyDictionary[Lexicon, dict[str, bool]] = WeakKeyDictionary()
"""For each tokenizer in use, whether a word is one token: the same words are asked for with every draw."""
VERSION = 1
"""Version of the lists. Change it, in the files too, when a list changes: other words are other prompts."""


@cache
def words(name: str) -> tuple[Any, ...]:
    """The entries of one list, such as `people.names`: words, or tuples of words that belong together."""
    file, _, part = name.partition(".")
    read = json.loads((files("interp_emerge.abilities") / "words" / f"{file}.json").read_text(encoding="utf-8"))
    assert read["version"] == VERSION, f"words/{file}.json has version {read['version']}, not {VERSION}"
    listed = read[part]
    return tuple(listed.items()) if isinstance(listed, Mapping) else tuple(map(_frozen, listed))


def _frozen(entry: Any) -> Any:
    return tuple(map(_frozen, entry)) if isinstance(entry, list) else entry


def halves(entries: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Two halves of different entries. The order in a hash decides, so that neither half is of one kind."""
    mixed = sorted(entries, key=lambda entry: sha256(str(entry).encode()).digest())
    first = {str(entry) for entry in mixed[::2]}
    return [one for one in entries if str(one) in first], [one for one in entries if str(one) not in first]


def of_split(entries: Sequence[Any], split: Split) -> list[Any]:
    """The entries that prompts of a split may use."""
    discovery, evaluation = halves(entries)
    return {"": [*entries], "discovery": discovery, "evaluation": evaluation}[split]


def single(model: HookedModel, entries: Sequence[Any]) -> list[Any]:
    """The entries all of whose words are one token inside a sentence."""
    known = _SINGLE.setdefault(model.lexicon, {})
    for word in {word for entry in entries for word in _parts(entry)} - known.keys():
        known[word] = model.lexicon.single_token(word) is not None
    return [entry for entry in entries if all(known[word] for word in _parts(entry))]


def _parts(entry: Any) -> list[str]:
    return [entry] if isinstance(entry, str) else [word for part in entry for word in _parts(part)]
