"""The tokens of a model: which there are, which come first in a prompt, and text to and from token ids.

A word gets the ids that it has inside a sentence. Some tokenizers put a space in front of every text, so " Mary" alone
becomes two tokens, while Mary inside a sentence is one. So the word is encoded as part of a sentence, and its ids are
taken from there.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from interp_emerge.core.errors import InputError, described
from interp_emerge.core.files import hash_bytes, hash_of
from interp_emerge.core.shape import Shape
from interp_emerge.core.tokens.names import WORD_START, token_names

FirstTokens = bool | int | str | Sequence[int] | None
"""What comes first in a prompt: the tokenizer's beginning-of-text token (True), nothing (False), one token as text or
id, several tokens as ids, or what the tokenizer itself puts in front of a text (None)."""
SENTENCES = ("a", "the", ".", "x")
"""Beginnings of sentences, one of which the text continues."""
PROBES = ("x", "The", "a b")
MOST_PROBES = 256
"""Largest number of words of the vocabulary that are tried to see what the tokenizer puts in front of a text."""
LEAVE_OUT = "; leave that part out"
"""The end of an error about a text of which the tokenizer cannot express a part."""
SAMPLE = "The quick brown fox, naïve and 12 years old:\n\tBERLIN ist größer. 東京"


class Lexicon:
    """The tokens of one model. Without a tokenizer they are numbers, and the configuration says which are special."""

    def __init__(self, tokenizer: Any, shape: Callable[[], Shape], model: str) -> None:
        """`shape` returns the shape of the model as it is now; `model` is its name in errors."""
        self.tokenizer, self._shape, self._model = tokenizer, shape, model
        self._n_tokens = shape().d_vocab

    def first(self, choice: FirstTokens) -> list[int]:
        """The token ids that a choice puts in front of every prompt; may be empty.

        Raises:
            InputError: the choice names no token of this model.
        """
        if choice is None:
            return [*self._usual_first]
        if choice is False or choice == "":
            return []
        if choice is True:
            return [self._within(self._beginning_of_text())]
        if isinstance(choice, str):
            return [self._within(token) for token in self._from_text(choice)]
        ids = [choice] if isinstance(choice, Integral) else choice
        if not isinstance(ids, list | tuple) or not all(isinstance(token, Integral) for token in ids):
            raise InputError(f"prepend_bos cannot be {described(choice)}; give True, False, a token as text, or its id")
        return [self._within(int(token)) for token in ids]

    def recorded(self, ids: Sequence[int]) -> str:
        """Tokens as the vocabulary writes them, for a record that `first` can read back; empty for none."""
        if self.tokenizer is None:
            return " ".join(map(str, ids))
        return " ".join(self._strings.get(token, str(token)) for token in ids)

    @cached_property
    def ordinary_ids(self) -> list[int]:
        """Ids of the tokens that are not special, ascending."""
        if self.tokenizer is None:
            special = self.special("bos") | self.special("eos") | self.special("pad")
            return [token for token in range(self._n_tokens) if token not in special]
        special = {*self.tokenizer.all_special_ids, *getattr(self.tokenizer, "added_tokens_decoder", {})}
        return sorted(token for token in self._strings if token not in special and 0 <= token < self._n_tokens)

    @cached_property
    def content(self) -> str:
        """Hash of the tokenizer: equal for tokenizers that give every text the same ids; empty if it cannot be made."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return _hash_of_python(self.tokenizer) if backend is None else hash_bytes(backend.to_str().encode())

    def vocabulary(self, first: list[int]) -> str:
        """Hash of everything that prompts depend on; empty if the tokenizer cannot be told from other tokenizers."""
        if self.tokenizer is not None and not self.content:
            return ""
        return hash_of(["" if self.tokenizer is None else self.content, first, self._hash_of_ordinary])

    @cached_property
    def _hash_of_ordinary(self) -> str:
        return hash_of(self.ordinary_ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text on its own, without special tokens.

        Raises:
            InputError: there is no tokenizer, or it has no token for a part of the text.
        """
        if self.tokenizer is None:
            raise InputError(f"{self._model} has no tokenizer; give token ids instead of text")
        if not isinstance(text, str):
            raise InputError(f"text to encode cannot be {described(text)}; give one text at a time")
        fast = bool(getattr(self.tokenizer, "is_fast", False))
        incomplete = f"the tokenizer of {self._model} has no token for a part of {text!r}"
        try:
            found = self.tokenizer(text, add_special_tokens=False, **({"return_offsets_mapping": True} if fast else {}))
        except Exception as error:  # the Rust part of tokenizers raises bare Exceptions
            raise InputError(f"{incomplete}{LEAVE_OUT}") from error
        ids, (name, unknown) = [*found["input_ids"]], self._unknown
        lacks = unknown is not None and unknown in ids and name not in text
        if lacks or (fast and _drops_something(text, found["offset_mapping"])):
            named = ", ".join(self.missing(text))
            raise InputError(f"{incomplete}{f' ({named})' if named else ''}{LEAVE_OUT}")
        return ids

    def missing(self, text: str) -> list[str]:
        """The words of a text that the tokenizer has no token for, each once; empty if they cannot be named."""
        if self.tokenizer is None or not getattr(self.tokenizer, "is_fast", False):
            return []
        try:
            found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        except Exception:  # noqa: BLE001 (the Rust part of tokenizers raises bare Exceptions)
            return []
        known = [
            span
            for token, span in zip(found["input_ids"], found["offset_mapping"], strict=True)
            if token != self._unknown[1]
        ]
        words = [(word.start(), word.group()) for word in re.finditer(r"\w+|[^\w\s]", text)]
        return [
            *dict.fromkeys(
                word
                for start, word in words
                if _drops_something(word, [(first - start, last - start) for first, last in known])
            )
        ]

    def continuation(self, text: str) -> list[int]:
        """Token ids of a text that continues a sentence, without a space that the tokenizer itself would add.

        Raises:
            InputError: there is no tokenizer, or it has no token for a part of the text.
        """
        ids = self.encode(text)
        if text.startswith(" "):
            for sentence in SENTENCES:
                before, whole = self._written(sentence), self._written(sentence + text)
                if before and whole and len(whole) > len(before) and whole[: len(before)] == before:
                    return whole[len(before) :]
        return ids

    def single_token(self, word: str) -> int | None:
        """The id of a word that is one token inside a sentence; None if it is several tokens, or has no token."""
        try:
            ids, twice = self.continuation(f" {word}"), self.continuation(f" {word} {word}")
        except InputError:
            return None
        return ids[0] if len(ids) == 1 and twice == 2 * ids else None

    def words(self, ids: Sequence[int]) -> list[str]:
        """A name for each token; different tokens have different names. Without a tokenizer, the ids as text."""
        if self.tokenizer is None:
            return [str(int(token)) for token in ids]
        return [self._names.get(int(token), f"[{int(token)}]") for token in ids]

    def special(self, kind: str) -> set[int]:
        """Ids of the `bos`, `eos` or `pad` tokens that the tokenizer or the model's configuration names."""
        return {*_listed(getattr(self.tokenizer, f"{kind}_token_id", None)), *self._shape().special[kind]}

    def require_unpadded(self, tokens: Tensor, first: list[int]) -> None:
        """Raise an `InputError` if a prompt contains padding.

        A padding token without another meaning is padding at any position. One that also begins or ends texts is
        padding at the last position, at the first two positions together, and in front of a beginning-of-text token.
        At the first position only, it is not padding if the model's prompts begin with it and all given prompts do.
        """
        begins = self.special("bos") | {*first[:1]}
        for pad in sorted(self.special("pad")):
            at, several = tokens == pad, tokens.shape[1] > 1
            if pad not in begins | self.special("eos"):
                rows = at.any(1)
            elif several:
                rows = at[:, :2].all(1) | at[:, -1]
                for beginning in begins - {pad}:
                    rows |= at[:, 0] & (tokens[:, 1] == beginning)
            else:
                rows = at[:, 0] & False
            if rows.any():
                row = int(rows.nonzero()[0])
                raise InputError(f"prompt {row} contains the padding token {pad}; give prompts without padding "
                                 "(those of PromptPairs may differ in length)")  # fmt: skip
            alone = at[:, 0]
            if alone.any() and (pad not in begins or not alone.all()):
                row, others = int(alone.nonzero()[0]), "other" if not alone.all() else "this model's usual"
                raise InputError(f"prompt {row} begins with the padding token {pad}, but {others} prompts do not; give "
                                 "prompts without padding, or set prepend_bos if all should begin with it")  # fmt: skip

    @cached_property
    def _unknown(self) -> tuple[str, int | None]:
        """The token for what the vocabulary lacks, and its id; the tokenizer's own model may name one that it hides."""
        if self.tokenizer.unk_token_id is not None:
            return self.tokenizer.unk_token, self.tokenizer.unk_token_id
        model = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "model", None)
        name = getattr(model, "unk_token", None)
        return ("", None) if name is None else (name, self.tokenizer.get_vocab().get(name))

    def forget(self) -> None:
        """Read the model's shape anew, since its vocabulary may have changed."""
        self._n_tokens = self._shape().d_vocab
        for outdated in ("ordinary_ids", "_hash_of_ordinary"):
            self.__dict__.pop(outdated, None)

    @cached_property
    def _strings(self) -> dict[int, str]:
        return {int(token): text for text, token in self.tokenizer.get_vocab().items()}

    @cached_property
    def _names(self) -> dict[int, str]:
        return token_names(self.tokenizer)

    @cached_property
    def _usual_first(self) -> list[int]:
        """What the tokenizer puts in front of a text; without a tokenizer, the token that the configuration names."""
        if self.tokenizer is None:
            token = self._shape().bos
            return [token] if token is not None and 0 <= token < self._n_tokens else []
        fronts: list[list[list[int]]] = []
        for text in self._probes():
            bare, whole = self._written(text), self._written(text, add_special_tokens=True)
            if not bare or not whole or not {*bare}.isdisjoint(self.tokenizer.all_special_ids):
                continue
            places = range(len(whole) - len(bare) + 1)
            fronts.append([whole[:at] for at in places if whole[at : at + len(bare)] == bare])
            if len(fronts) == 2:
                break
        shared = [front for front in (fronts[0] if fronts else []) if all(front in others for others in fronts)]
        if not shared:
            raise InputError(f"cannot find out what the tokenizer of {self._model} puts in front of a text; give "
                             "prepend_bos=True, False, or a token")  # fmt: skip
        return shared[0]

    def _probes(self) -> Iterable[str]:
        """Texts to try a tokenizer on: a few usual ones, then words of its vocabulary."""
        own = [self._strings[token] for token in self.ordinary_ids[:MOST_PROBES]]
        return [*PROBES, *(text.strip(f"{WORD_START}Ġ#") for text in own)]

    def _written(self, text: str, *, add_special_tokens: bool = False) -> list[int] | None:
        """Token ids of a text, including those of unknown parts; None if the tokenizer fails on it."""
        try:
            return [*self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]]
        except Exception:  # noqa: BLE001 (the Rust part of tokenizers raises bare Exceptions)
            return None

    def _beginning_of_text(self) -> int:
        token = self._shape().bos if self.tokenizer is None else getattr(self.tokenizer, "bos_token_id", None)
        if isinstance(token, int):
            return token
        if self.tokenizer is None:
            raise InputError(f"the configuration of {self._model} names no beginning-of-text token; give the id of "
                             "one as prepend_bos, or prepend_bos=False")  # fmt: skip
        end = self.tokenizer.eos_token
        example = f" (its end-of-text token: prepend_bos={end!r})" if end else ""
        raise InputError(f"the tokenizer of {self._model} has no beginning-of-text token; give a token as prepend_bos"
                         f"{example}, or prepend_bos=False")  # fmt: skip

    def _from_text(self, text: str) -> list[int]:
        """The token that a text names: by the vocabulary's own string, or as a text that is encoded as one token."""
        if self.tokenizer is None:
            if all(part.isdecimal() for part in text.split()):
                return [int(part) for part in text.split()]
            raise InputError(
                f"{self._model} has no tokenizer, so prepend_bos cannot be {text!r}; give the id of a token"
            )
        known = self.tokenizer.get_vocab()
        if text in known:
            return [int(known[text])]
        if text == self.recorded(self._usual_first):
            return [*self._usual_first]
        ids = self._written(text) or []
        if len(ids) == 1 and ids[0] != self._unknown[1]:
            return ids
        special = ", ".join(map(repr, self.tokenizer.all_special_tokens[:5])) or "none"
        raise InputError(f"prepend_bos = {text!r} is not one token of {self._model}; give a token of its vocabulary "
                         f"(special tokens: {special}), an id, True or False")  # fmt: skip

    def _within(self, token: int) -> int:
        if not 0 <= token < self._n_tokens:
            raise InputError(
                f"prepend_bos cannot be the token {token}; {self._model} has {self._n_tokens} tokens, give an id "
                f"from 0 to {self._n_tokens - 1}"
            )
        return token


def _listed(value: Any) -> list[int]:
    values = value if isinstance(value, list | tuple) else [value]
    return [one for one in values if isinstance(one, int) and not isinstance(one, bool)]


def _drops_something(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a character lies in no token, apart from spaces, combining marks and control characters."""
    seen = {place for start, end in spans for place in range(start, end)}
    return any(place not in seen and unicodedata.category(one)[0] not in "ZMC" for place, one in enumerate(text))


def _hash_of_python(tokenizer: Any) -> str:
    """Hash of a tokenizer that is written in Python: of its class, words and files, and of the ids of a sample."""
    try:
        with TemporaryDirectory() as directory:
            tokenizer.save_pretrained(directory)
            # Left out: the configuration names where the tokenizer came from. Its effect shows in the sample.
            kept = [path for path in sorted(Path(directory).rglob("*")) if path.name != "tokenizer_config.json"]
            files = [[path.name, sha256(path.read_bytes()).hexdigest()] for path in kept if path.is_file()]
        words = sorted((text, int(token)) for text, token in tokenizer.get_vocab().items())
        sample = tokenizer(SAMPLE, add_special_tokens=True)["input_ids"]
    except Exception:  # noqa: BLE001 (the tokenizer's own code may fail in any way)
        return ""
    kind = type(tokenizer)
    return hash_of([kind.__module__, kind.__qualname__, words, files, [int(token) for token in sample]])
