"""Pairs of a clean and a corrupted prompt that differ in what decides the answer, with the correct next tokens."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities._reading import (
    ArrayLike,
    as_answers,
    as_ids,
    as_places,
    as_prompts,
    as_sets,
    as_values,
    narrowed,
    prompt_ids,
    require_equal_lengths,
    token_after,
)
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import TokenIds, Tokens
from interp_emerge.core.errors import InputError, counted, require_kind
from interp_emerge.core.model import HookedModel


class _SeveralLengthsError(InputError, AttributeError):
    """Prompts of several lengths do not fit in one array. It is an `AttributeError`, so that `hasattr` gives False."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One pair: a row of `PromptPairs.from_rows`.

    Prompts, answers and foils are text or token ids. `answer` is correct after the clean prompt, `foil` after the
    corrupted one; give a list if several are correct. The other fields are those of `PromptPairs`, for one pair.
    If a prompt is text, the tokens in `model.bos` stand before it, and `positions` count them too.
    """

    clean: str | ArrayLike
    corrupt: str | ArrayLike
    answer: str | int | np.integer | ArrayLike
    foil: str | int | np.integer | ArrayLike
    template: str = ""
    positions: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, init=False, eq=False)
class PromptPairs:
    """Pairs of a clean and a corrupted prompt, with the correct next token after each.

    Token ids are given as nested lists, arrays or tensors. Both prompts of a pair have the same length. Different pairs
    may have different lengths: `score`, `evaluate`, `measure` and the functions that use them run pairs of one
    length together, without padding. Functions that need one length for all pairs raise an error.

    Args:
        clean: prompts after which `answer` is correct.
        corrupt: prompts after which `foil` is correct.
        answer: the correct token of each pair, or a list of correct tokens for each pair.
        foil: the same for the corrupted prompts.
        templates: name of the wording of each pair.
        positions: named positions in the prompts, one index for each pair. An index below zero counts from the end of
            the prompt; the equivalent index from the start is stored.
        variables: named properties of the pairs, one number for each pair, for example the target of a probe.
        continuation: the tokens that follow each clean prompt if answers have several tokens, shape [pair, pos]. The
            first token has to be an answer of the pair.
        ability: name of the ability that the pairs are drawn for.

    Example:
        >>> pairs = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], answer=[[8, 9]], foil=[[3]])
        >>> pairs.answers
        tensor([[8, 9]])

    Raises:
        InputError: there are no pairs, the two prompts of a pair differ in length, a token is both answer and foil,
            an argument does not have one entry for each pair, or an index is beyond its prompt.
    """

    clean: Tokens
    """Shape [pair, pos]. Reading it raises an `InputError` if the pairs have several lengths: see `by_length`."""
    corrupt: Tokens
    answer: TokenIds | Tokens
    """Shape [pair], or [pair, answer] if a pair has several answers; pairs with fewer are filled up with -1."""
    foil: TokenIds | Tokens
    """In the same form as `answer`."""
    templates: tuple[str, ...]
    positions: Mapping[str, TokenIds]
    variables: Mapping[str, Tensor]
    continuation: Tokens | None
    ability: str
    """Name of the ability that the pairs were drawn for; empty if there is none."""
    lengths: TokenIds = field(init=False)
    """Number of tokens of each pair's prompts, shape [pair]."""
    _filled: tuple[Tokens, Tokens] = field(init=False)
    """Clean and corrupted prompts, shape [pair, pos] each; shorter prompts are filled up with -1."""

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
        filled, lengths = as_prompts(clean, "clean")
        other, other_lengths = as_prompts(corrupt, "corrupt")
        require_equal_lengths(lengths, other_lengths)
        if isinstance(templates, str):
            raise InputError(f"templates cannot be {templates!r}; give a list of names, one for each pair")
        self._set(
            filled=(filled, other),
            lengths=lengths,
            answer=as_sets(answer, "answer"),
            foil=as_sets(foil, "foil"),
            templates=tuple(templates),
            continuation=None if continuation is None else as_ids(continuation, "continuation"),
            ability=ability,
        )
        self._check()
        object.__setattr__(self, "positions", as_places(positions, lengths))
        object.__setattr__(self, "variables", as_values(variables, len(self)))

    def _set(self, *, filled: tuple[Tokens, Tokens], lengths: TokenIds, **others: Any) -> None:
        fields = {"_filled": filled, "lengths": lengths, **others}
        if bool((lengths == lengths[0]).all()):
            fields |= {"clean": filled[0], "corrupt": filled[1]}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """Raise an `AttributeError`. Pairs of several lengths lack `clean` and `corrupt`; then it says what to do."""
        if name in ("clean", "corrupt"):
            raise _SeveralLengthsError(self._need_one_length(f"pairs.{name}"))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _need_one_length(self, what: str) -> str:
        return (
            f"{what} needs prompts of one length, and these have {int(self.lengths.min())} to "
            f"{int(self.lengths.max())} tokens; give pairs of one length, such as each group of "
            "`for rows, group in pairs.by_length()`, or choose a method or ablation that does not mix pairs"
        )

    def require_one_length(self, what: str) -> None:
        """Raise an `InputError` that names what needs prompts of one length, if these have several."""
        if len(set(self.lengths.tolist())) > 1:
            raise InputError(self._need_one_length(what))

    @classmethod
    @checked
    def from_rows(
        cls,
        rows: Iterable[Pair],
        *,
        model: HookedModel | None = None,
        ability: str = "",
    ) -> "PromptPairs":
        """Prompt pairs from one `Pair` for each. The model's tokenizer encodes text.

        An answer that is text has to add exactly one token to its prompt.

        Example:
            >>> ie.PromptPairs.from_rows([ie.Pair(clean=[5, 6], corrupt=[5, 7], answer=8, foil=9)])
            PromptPairs(1 pair of 2 tokens)

        Args:
            rows: the pairs.
            model: its tokenizer encodes text, after the tokens in `model.bos`; not needed for token ids.
            ability: name of the ability that the pairs are drawn for.

        Raises:
            InputError: text without a model or tokenizer, an answer that is not one token after its prompt, rows
                that do not name the same positions and variables, or any error of `PromptPairs`.
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
        fields: dict[str, list[Any]] = {"clean": [], "corrupt": [], "answer": [], "foil": []}
        for number, row in enumerate(rows):
            for prompt, token in (("clean", "answer"), ("corrupt", "foil")):
                text, following = getattr(row, prompt), as_answers(getattr(row, token), f"{token} of pair {number}")
                fields[prompt].append(prompt_ids(model, text))
                fields[token].append([token_after(model, text, one) for one in following])
        return cls(
            **fields,
            templates=[row.template for row in rows] if any(row.template for row in rows) else (),
            positions={name: [row.positions[name] for row in rows] for name in rows[0].positions},
            variables={name: [row.variables[name] for row in rows] for name in rows[0].variables},
            ability=ability,
        )

    @classmethod
    @checked
    def from_text(
        cls,
        model: HookedModel,
        *,
        clean: Sequence[str],
        corrupt: Sequence[str],
        answer: Sequence[str | Sequence[str]],
        foil: Sequence[str | Sequence[str]],
        templates: Sequence[str] = (),
    ) -> "PromptPairs":
        """Pairs from lists of text with one entry for each pair. An entry of `answer` or `foil` may be a list of texts.

        Example:
            >>> pairs = ie.PromptPairs.from_text(model, clean=[" Mary went to"], corrupt=[" John went to"],
            ...                                  answer=[" the"], foil=[[" a", " an"]])

        Raises:
            InputError: the lists have different lengths, or any error of `from_rows`.
        """
        columns = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil, "template": templates}
        lists: dict[str, list[Any]] = {}
        for name, column in columns.items():
            if isinstance(column, str):
                raise InputError(f"{name} cannot be the single text {column!r}; give a list, one text for each pair")
            lists[name] = [*column]
        n = len(lists["clean"])
        lists["template"] = lists["template"] or [""] * n
        for name, values in lists.items():
            if len(values) != n:
                raise InputError(f"{name} has {len(values)} entries for {n} clean prompts; give one for each")
        rows = [Pair(**dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True)]
        return cls.from_rows(rows, model=model)

    def of_ability(self, name: str) -> "PromptPairs":
        """The same pairs, with this name in the field `ability`."""
        pairs = copy(self)
        object.__setattr__(pairs, "ability", name)
        return pairs

    def _check(self) -> None:
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
        if bool((continuation < 0).any()):
            raise InputError("the continuation contains an id below 0; give token ids, equally many for each pair")
        if continuation.ndim != 2 or len(continuation) != len(self):
            raise InputError(f"continuations of shape {list(continuation.shape)} do not fit {len(self)} pairs; give "
                             "one for each pair, all of the same length")  # fmt: skip
        other = (~(self.answers == continuation[:, :1]).any(1)).nonzero()
        if len(other):
            raise InputError(f"the continuation of pair {int(other[0])} begins with a token that is not its answer")

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        named = f", positions {', '.join(self.positions)}" if self.positions else ""
        least, most = int(self.lengths.min()), int(self.lengths.max())
        tokens = f"{least}" if least == most else f"{least} to {most}"
        return f"PromptPairs({counted(len(self), 'pair')} of {tokens} tokens{named})"

    @property
    def length(self) -> int:
        """Number of tokens in each prompt.

        Raises:
            InputError: the pairs have several lengths.
        """
        self.require_one_length("pairs.length")
        return int(self.lengths[0])

    def by_length(self) -> list[tuple[TokenIds, "PromptPairs"]]:
        """Groups of pairs of equal length, the shortest first, each as (indices among all pairs, pairs)."""
        if len(set(self.lengths.tolist())) == 1:
            return [(torch.arange(len(self)), self)]
        groups = [(self.lengths == length).nonzero()[:, 0] for length in sorted(set(self.lengths.tolist()))]
        return [(rows, self[rows]) for rows in groups]

    def in_order(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """One array in the order of all pairs, from the values of each group of `by_length`, shape [pair, ...]."""
        rows = torch.cat([rows for rows, _ in self.by_length()])
        return np.concatenate([*values])[torch.argsort(rows).numpy()]

    @property
    def answers(self) -> Tokens:
        """Every correct token after the clean prompt, shape [pair, answer]; -1 where a pair has fewer answers."""
        return self.answer if self.answer.ndim == 2 else self.answer[:, None]

    @property
    def foils(self) -> Tokens:
        """Every correct token after the corrupted prompt, in the same form as `answers`."""
        return self.foil if self.foil.ndim == 2 else self.foil[:, None]

    @checked
    def __getitem__(self, index: int | slice | Tensor | np.ndarray | list[int]) -> "PromptPairs":
        """The pairs at these indices, in the order of the indices."""
        asked = index.numpy(force=True) if isinstance(index, Tensor) else index
        rows = torch.from_numpy(np.atleast_1d(np.arange(len(self))[asked]).copy())
        if not len(rows):
            raise InputError(f"the index selects 0 of {len(self)} pairs; give at least one index")
        if rows.ndim > 1:
            raise InputError(f"indices of shape {list(rows.shape)} do not choose pairs; give a list of indices")
        lengths = self.lengths[rows]
        fields: dict[str, Any] = {
            "filled": tuple(prompts[rows, : int(lengths.max())] for prompts in self._filled),
            "lengths": lengths,
            **{name: narrowed(getattr(self, name)[rows]) for name in ("answer", "foil")},
            "templates": tuple(self.templates[row] for row in rows.tolist()) if self.templates else (),
            "positions": {name: place[rows] for name, place in self.positions.items()},
            "variables": {name: values[rows] for name, values in self.variables.items()},
            "continuation": None if self.continuation is None else self.continuation[rows],
            "ability": self.ability,
        }
        # The pairs were checked when they were made. Engines take many parts, so a part is not checked again.
        part = object.__new__(PromptPairs)
        part._set(**fields)
        return part

    @checked
    def split(self, share: float = 0.5, *, seed: int = 0) -> tuple["PromptPairs", "PromptPairs"]:
        """Two parts: a random share of the pairs to find a circuit on, and the other pairs to judge it on.

        Both parts keep the order of the pairs. Each template is split separately, so that every template occurs in
        both parts in these proportions, up to rounding. Pairs with the same clean prompt go to the same part. The same
        seed gives the same split.

        Raises:
            InputError: the share is not between 0 and 1, or a part would be empty.
        """
        if not 0 < share < 1:
            raise InputError(f"the share of a split cannot be {share:g}; give a number between 0 and 1")
        rng, owed = np.random.default_rng(seed), 0.0
        first: list[int] = []
        for alike in self._alike_by_template():
            # The rounding error of one template is carried over to the next.
            owed += share * sum(len(rows) for rows in alike)
            for group in rng.permutation(len(alike)):
                rows = alike[group]
                if len(rows) <= 2 * owed:
                    first += rows
                    owed -= len(rows)
        rest = sorted(set(range(len(self))) - set(first))
        if not first or not rest:
            raise InputError(f"split({share:g}) of {counted(len(self), 'pair')} leaves one part empty; give more pairs "
                             "with different prompts, or a share nearer to a half")  # fmt: skip
        return self[sorted(first)], self[rest]

    def _alike_by_template(self) -> list[list[list[int]]]:
        """Indices of pairs, by template and then by clean prompt. Equal prompts get the template of the first one."""
        alike: dict[bytes, list[int]] = {}
        for row, tokens in enumerate(self._filled[0].numpy()):
            alike.setdefault(tokens.tobytes(), []).append(row)
        by_template: dict[str, list[list[int]]] = {}
        for rows in alike.values():
            by_template.setdefault(self.templates[rows[0]] if self.templates else "", []).append(rows)
        return list(by_template.values())

    @property
    def fingerprint(self) -> str:
        """Hash of the token ids of prompts, answers and foils; equal only for the same pairs in the same order."""
        digest = hashlib.sha256()
        for ids in (*self._filled, self.answer, self.foil):
            digest.update(str(tuple(ids.shape)).encode())
            digest.update(ids.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def require_pairs(model: HookedModel, pairs: PromptPairs) -> None:
    """Raise an `InputError` unless the pairs fit the model.

    All tokens have to be in its vocabulary. The prompts have to fit its context and contain no padding.
    """
    for _, group in pairs.by_length():
        for tokens in (group.clean, group.corrupt):
            model.require_tokens(tokens)
            model.require_unpadded(tokens)
    for tokens in (pairs.answers, pairs.foils):
        model.require_tokens(tokens[tokens >= 0][:, None])
