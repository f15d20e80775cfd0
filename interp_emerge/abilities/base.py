"""What an ability is: prompt pairs that differ only in what the answer depends on, with its chance level and source."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import TokenIds, Tokens
from interp_emerge.core.errors import InputError, counted, described, require_kind
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source

ArrayLike = Tensor | np.ndarray | Sequence[Any]
"""Numbers in a usual container."""


@dataclass(frozen=True, init=False, eq=False)
class PromptPairs:
    """Pairs of a clean and a corrupted prompt, with the correct next token after each.

    Token ids may be given as nested lists, arrays or tensors. `answer` is correct after the clean prompt, `foil` after
    the corrupted one; where several tokens are correct give a list of them for each pair, of any lengths. `templates`
    names the wording of each pair and `positions` the places worth pointing at, one index a pair; indices below zero
    count from the end, and are kept as they count from the start. `variables` holds what a pair is about, one value a
    pair by name: what a probe reads, such as whose turn it is. `continuation` holds the tokens that follow the clean
    prompt where the answer has several, its first token the answer, shape [pair, pos].

    Example:
        >>> pairs = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], answer=[[8, 9]], foil=[[3]])
        >>> pairs.answers
        tensor([[8, 9]])

    Raises:
        InputError: prompts of unequal length, no pairs, a token that is both answer and foil, counts that do not agree,
            or an index beyond the prompts.
    """

    clean: Tokens
    corrupt: Tokens
    answer: TokenIds | Tokens
    """Correct after the clean prompt: shape [pair], or [pair, answer] where some pair has several; -1 fills up."""
    foil: TokenIds | Tokens
    """Correct after the corrupted prompt, in the same form."""
    templates: tuple[str, ...]
    positions: Mapping[str, TokenIds]
    variables: Mapping[str, Tensor]
    continuation: Tokens | None
    ability: str
    """Name of the ability that the pairs were drawn for; empty for one's own."""

    @checked
    def __init__(
        self,
        *,
        clean: ArrayLike,
        corrupt: ArrayLike,
        answer: ArrayLike,
        foil: ArrayLike,
        templates: Sequence[str] = (),
        positions: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        continuation: ArrayLike | None = None,
        ability: str = "",
    ) -> None:
        fields: dict[str, Any] = {"clean": _as_ids(clean, "clean"), "corrupt": _as_ids(corrupt, "corrupt")}
        fields |= {"answer": _as_sets(answer, "answer"), "foil": _as_sets(foil, "foil")}
        fields["continuation"] = None if continuation is None else _as_ids(continuation, "continuation")
        if isinstance(templates, str):
            raise InputError(f"templates cannot be {templates!r}; give a list of names, one for each pair")
        fields["templates"], fields["ability"] = tuple(templates), ability
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self._check()
        object.__setattr__(self, "positions", _as_places(positions, *self.clean.shape))
        object.__setattr__(self, "variables", _as_values(variables, len(self)))

    def _check(self) -> None:
        if self.clean.ndim != 2 or self.clean.shape != self.corrupt.shape or not self.clean.numel():
            raise InputError(f"clean and corrupt prompts have shapes {list(self.clean.shape)} and "
                             f"{list(self.corrupt.shape)}; give two equal [pair, position] arrays")  # fmt: skip
        if len(self.answer) != len(self) or len(self.foil) != len(self):
            given = " and ".join(f"{list(ids.shape)}" for ids in (self.answer, self.foil))
            raise InputError(f"{len(self)} pairs need {len(self)} answers and foils, not arrays of shape {given}")
        both = (self.answers[:, :, None] == self.foils[:, None]) & (self.answers[:, :, None] >= 0)
        same = both.any((1, 2)).nonzero()
        if len(same):
            raise InputError(f"pair {int(same[0])} has the same token as answer and foil; they have to differ")
        if self.continuation is not None:
            self._check_continuation(self.continuation)
        if self.templates and len(self.templates) != len(self):
            raise InputError(f"{len(self)} pairs need {len(self)} template names, not {len(self.templates)}")

    def _check_continuation(self, continuation: Tensor) -> None:
        if continuation.ndim != 2 or len(continuation) != len(self):
            raise InputError(f"continuations of shape {list(continuation.shape)} do not fit {len(self)} pairs; give "
                             "each pair one, all as long")  # fmt: skip
        other = (~(self.answers == continuation[:, :1]).any(1)).nonzero()
        if len(other):
            raise InputError(f"the continuation of pair {int(other[0])} begins with a token that is not its answer")

    def __len__(self) -> int:
        return self.clean.shape[0]

    def __repr__(self) -> str:
        named = f", positions {', '.join(self.positions)}" if self.positions else ""
        return f"PromptPairs({counted(len(self), 'pair')} of {self.length} tokens{named})"

    @property
    def length(self) -> int:
        """Tokens in each prompt."""
        return self.clean.shape[1]

    @property
    def answers(self) -> Tokens:
        """Every correct token after the clean prompt, shape [pair, answer]; -1 where a pair has fewer than another."""
        return self.answer if self.answer.ndim == 2 else self.answer[:, None]

    @property
    def foils(self) -> Tokens:
        """Every correct token after the corrupted prompt, in the same form."""
        return self.foil if self.foil.ndim == 2 else self.foil[:, None]

    @checked
    def __getitem__(self, index: int | slice | Tensor | np.ndarray | list[int]) -> "PromptPairs":
        """Some of the pairs, in the order asked for."""
        rows = torch.atleast_1d(torch.arange(len(self))[index])
        if not len(rows):
            raise InputError(f"no pair is asked for of {len(self)}; give at least one index")
        fields: dict[str, Any] = {
            **{name: getattr(self, name)[rows] for name in ("clean", "corrupt", "answer", "foil")},
            "templates": tuple(self.templates[row] for row in rows.tolist()) if self.templates else (),
            "positions": {name: place[rows] for name, place in self.positions.items()},
            "variables": {name: values[rows] for name, values in self.variables.items()},
            "continuation": None if self.continuation is None else self.continuation[rows],
            "ability": self.ability,
        }
        # Parts of what was checked are sound, and engines ask for many.
        part = object.__new__(PromptPairs)
        for name, value in fields.items():
            object.__setattr__(part, name, value)
        return part

    @checked
    def split(self, share: float = 0.5, *, seed: int = 0) -> tuple["PromptPairs", "PromptPairs"]:
        """Pairs to find a circuit on and others to judge it on, as a share and the rest, each in their order.

        Each template is split by itself, so that both sides hold the share of it, up to whole pairs. Pairs with the
        same clean prompt stand on the same side. The same seed gives the same split.

        Raises:
            InputError: the share is not between 0 and 1, or a side would be empty.
        """
        if not 0 < share < 1:
            raise InputError(f"split({share:g}) leaves nothing to judge on or to find; give a share between 0 and 1")
        rng, owed = np.random.default_rng(seed), 0.0
        first: list[int] = []
        for alike in self._alike_by_template():
            # What a template rounds off, the next one makes good.
            owed += share * sum(len(rows) for rows in alike)
            for group in rng.permutation(len(alike)):
                rows = alike[group]
                if len(rows) <= 2 * owed:
                    first += rows
                    owed -= len(rows)
        rest = sorted(set(range(len(self))) - set(first))
        if not first or not rest:
            raise InputError(f"split({share:g}) leaves one side without any of {counted(len(self), 'pair')}; give more "
                             "pairs with different prompts, or a share nearer to a half")  # fmt: skip
        return self[sorted(first)], self[rest]

    def _alike_by_template(self) -> list[list[list[int]]]:
        """For each template its pairs, those with the same clean prompt together; the first one's template counts."""
        alike: dict[bytes, list[int]] = {}
        for row, tokens in enumerate(self.clean.numpy()):
            alike.setdefault(tokens.tobytes(), []).append(row)
        by_template: dict[str, list[list[int]]] = {}
        for rows in alike.values():
            by_template.setdefault(self.templates[rows[0]] if self.templates else "", []).append(rows)
        return list(by_template.values())

    @property
    def fingerprint(self) -> str:
        """Hash of all token ids: equal exactly for equal prompts in equal order."""
        digest = hashlib.sha256()
        for ids in (self.clean, self.corrupt, self.answer, self.foil):
            digest.update(str(tuple(ids.shape)).encode())
            digest.update(ids.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Ability:
    """Something that a model can do or fail to do, with what a guess would score.

    `chance` is the accuracy of the best guess that ignores what the ability is about, `ceiling` the accuracy of a
    perfect model. A `control` is a task that every size learns smoothly: calling it emergent would be an error.
    """

    name: str
    summary: str
    source: Source
    chance: float
    draw: Callable[[HookedModel, int, np.random.Generator], PromptPairs]
    ceiling: float = 1.0
    control: bool = False

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
        pairs = replace(pairs, ability=self.name)
        require_pairs(model, pairs)
        return pairs


def require_pairs(model: HookedModel, pairs: PromptPairs) -> None:
    """Raise an `InputError` unless these are a model and pairs for it: of its tokens, in its context, not padded."""
    for tokens in (pairs.clean, pairs.corrupt):
        model.require_tokens(tokens)
        model.require_unpadded(tokens)
    for tokens in (pairs.answers, pairs.foils):
        model.require_tokens(tokens[tokens >= 0][:, None])


def single_tokens(model: HookedModel, words: Sequence[str], *, at_least: int, wanted_for: str) -> dict[str, int]:
    """The words that the tokenizer writes as one token inside a sentence, with their ids.

    Raises:
        InputError: fewer than `at_least` words qualify, or the model has no tokenizer.
    """
    if model.lexicon.tokenizer is None:
        raise InputError(f"{wanted_for} is made of words, and {model.spec} has no tokenizer; give it one with "
                         "ie.hook(model, tokenizer=tokenizer)")  # fmt: skip
    tokens = {word: model.lexicon.single_token(word) for word in words}
    found = {word: token for word, token in tokens.items() if token is not None}
    if len(found) < at_least:
        raise InputError(f"{wanted_for} needs {at_least} of {len(words)} words such as {words[0]!r} as single tokens, "
                         f"and the tokenizer of {model.spec} has {len(found)}")  # fmt: skip
    return found


def stack_prompts(model: HookedModel, texts: Sequence[str]) -> Tensor:
    """Token ids of texts, each after what stands first in the model's prompts, shape [text, pos].

    Raises:
        InputError: the texts come to different lengths under this tokenizer.
    """
    rows = [model.bos + model.lexicon.continuation(text) for text in texts]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"the tokenizer of {model.spec} gives the prompts of one task different lengths "
                         f"({len(min(rows, key=len))} to {len(max(rows, key=len))} tokens)")  # fmt: skip
    return torch.tensor(rows)


def _as_ids(values: ArrayLike, name: str) -> Tensor:
    try:
        ids = torch.as_tensor(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        if not isinstance(values, list | tuple):
            raise InputError(f"{name} cannot be {described(values)}; give token ids") from error
        if any(isinstance(value, str) for value in values):
            raise InputError(f"{name} is a list of text; give token ids, as model.encode(text) returns them") from error
        if all(isinstance(value, Tensor) and value.ndim == 1 for value in values):
            return _as_ids([value.tolist() for value in values], name)
        raise InputError(f"{name} is not a rectangular array of token ids: prompts need equal lengths") from error
    if not ids.numel():
        raise InputError(f"{name} is empty; give at least one pair")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise InputError(f"{name} holds {ids.dtype}, not integer token ids")
    return ids.detach().to("cpu", torch.int64)


def _as_sets(values: ArrayLike, name: str) -> Tensor:
    """One token a pair, shape [pair], or several, shape [pair, token], filled up with -1."""
    ragged = isinstance(values, list | tuple) and any(isinstance(one, list | tuple) for one in values)
    rows = [_as_ids(one if isinstance(one, list | tuple) else [one], name) for one in values] if ragged else []
    ids = pad_sequence(rows, batch_first=True, padding_value=-1) if rows else _as_ids(values, name)
    if ids.ndim not in (1, 2):
        raise InputError(f"{name} has shape {list(ids.shape)}; give one token a pair, or a list of tokens")
    if ids.ndim == 2:
        if ids.shape[1] == 1:
            return ids[:, 0]
        if bool((ids < 0).all(1).any()):
            raise InputError(f"pair {int((ids < 0).all(1).nonzero()[0])} has no {name}; give each pair at least one")
    return ids


def _as_values(variables: Mapping[str, Any] | None, n_pairs: int) -> dict[str, Tensor]:
    """Values by name, one a pair, whole numbers or real ones."""
    found: dict[str, Tensor] = {}
    for name, given in (variables or {}).items():
        try:
            values = torch.as_tensor(given).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"variable {name!r} is not a list of numbers; give one number a pair, such as the index "
                             "of a category") from error  # fmt: skip
        if values.shape != (n_pairs,) or values.is_complex():
            raise InputError(f"variable {name!r} has shape {list(values.shape)} for {n_pairs} pairs; give one number a "
                             "pair")  # fmt: skip
        found[name] = values.float() if values.is_floating_point() else values.long()
    return found


def _as_places(positions: Mapping[str, Any] | None, n_pairs: int, length: int) -> dict[str, Tensor]:
    """Indices by name, one a pair, counted from the start."""
    if positions is None:
        return {}
    places: dict[str, Tensor] = {}
    for name, values in positions.items():
        try:
            index = torch.as_tensor(values).detach().to("cpu")
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"position {name!r} is not a list of whole numbers; give one index a pair") from error
        if index.shape != (n_pairs,):
            what = "a single number" if not index.ndim else f"indices of shape {list(index.shape)}"
            raise InputError(f"position {name!r} has {what} for {n_pairs} pairs; give one index for each pair")
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise InputError(f"position {name!r} holds {index.dtype}; give whole numbers, counted from 0")
        index = index.to(torch.int64)
        beyond = ((index < -length) | (index >= length)).nonzero()
        if len(beyond):
            row = int(beyond[0])
            raise InputError(f"position {name!r} of pair {row} is {int(index[row])}, beyond the prompt's {length} "
                             f"tokens; give 0 to {length - 1}, or -1 to {-length} counted from the end")  # fmt: skip
        places[name] = torch.where(index < 0, index + length, index)
    return places


def _stable_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
