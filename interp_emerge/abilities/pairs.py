"""Pairs of a clean and a corrupted prompt that differ in what decides the answer, with the correct next tokens."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities._reading import (
    ArrayLike,
    as_ids,
    as_places,
    as_prompts,
    as_sets,
    as_values,
    narrowed,
    prompt_ids,
    require_equal_lengths,
)
from interp_emerge.abilities.own.completions import Completions
from interp_emerge.abilities.own.consistency import fingerprint_of, need_one_length, require_consistent, require_pairs
from interp_emerge.abilities.own.encoding import Encoding
from interp_emerge.abilities.own.rows import Pair, fields_of_rows, pairs_of_lists
from interp_emerge.abilities.own.splitting import rows_of_split
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import TokenIds, Tokens
from interp_emerge.core.errors import InputError, counted
from interp_emerge.core.model import HookedModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pair", "PromptPairs", "prompt_ids", "require_pairs"]


class _SeveralLengthsError(InputError, AttributeError):
    """Prompts of several lengths do not fit in one array. It is an `AttributeError`, so that `hasattr` gives False."""


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
        variables: named properties of the pairs, one number or label for each pair, such as the target of a probe.
            Labels (text) are stored as indices, and `labels` holds their text.
        continuation: the tokens that follow each clean prompt if answers have several tokens, shape [pair, pos]. The
            first token has to be an answer of the pair; shorter ones are filled up with -1.
        ability: name of the ability that the pairs are drawn for.
        labels: the text of each index of variables that are labels.
        completions: all tokens of answers and foils of several tokens; `from_text` makes them.
        encoding: the tokenizer that encoded the text; `from_text` names it.

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
    labels: Mapping[str, tuple[str, ...]]
    """The text of each index of the variables that are labels: `pairs.labels["receiver"] == ("John", "Mary")`."""
    completions: Completions | None
    """All tokens of answers and foils; None if each is one token. Measuring reads them, patching does not."""
    encoding: Encoding | None
    """The tokenizer that encoded the text of the prompts, or only the names of their tokens if an ability drew them;
    None if they were given as token ids."""
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
        labels: Mapping[str, Sequence[str]] | None = None,
        completions: Completions | None = None,
        encoding: Encoding | None = None,
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
            completions=completions,
            encoding=encoding,
        )
        require_consistent(self)
        values, named = as_values(variables, len(self), labels)
        self._put(positions=as_places(positions, lengths), variables=values, labels=named)

    def _set(self, *, filled: tuple[Tokens, Tokens], lengths: TokenIds, **others: Any) -> None:
        fields = {"_filled": filled, "lengths": lengths, **others}
        if bool((lengths == lengths[0]).all()):
            fields |= {"clean": filled[0], "corrupt": filled[1]}
        self._put(**fields)

    def _put(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """Raise an `AttributeError`. Pairs of several lengths lack `clean` and `corrupt`; then it says what to do."""
        if name in ("clean", "corrupt"):
            raise _SeveralLengthsError(need_one_length(self, f"pairs.{name}"))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def require_one_length(self, what: str) -> None:
        """Raise an `InputError` that names what needs prompts of one length, if these have several."""
        if len(set(self.lengths.tolist())) > 1:
            raise InputError(need_one_length(self, what))

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

        If answers and foils of a pair have several tokens, patching reads the first token at which they differ. The
        tokens before it, which all of them share, are appended to both prompts (`appended` counts them). Metrics of
        `measure` read whole answers: their log-probability is the sum over their tokens.

        Example:
            >>> ie.PromptPairs.from_rows([ie.Pair(clean=[5, 6], corrupt=[5, 7], answer=8, foil=9)])
            PromptPairs(1 pair of 2 tokens)

        Args:
            rows: the pairs.
            model: its tokenizer encodes text, after the tokens in `model.bos`; not needed for token ids.
            ability: name of the ability that the pairs are drawn for.

        Raises:
            InputError: text without a model or tokenizer, an answer that merges with the end of its prompt, answers
                and foils that no single token tells apart, a position's text that is not found or found several
                times, rows that do not name the same positions and variables, or any error of `PromptPairs`.
        """
        return cls(**fields_of_rows(rows, model), ability=ability)

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
        positions: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> "PromptPairs":
        """Pairs from lists of text with one entry for each pair. An entry of `answer` or `foil` may be a list of texts.

        Answers may have several tokens: see `from_rows`.

        Example:
            >>> pairs = ie.PromptPairs.from_text(model, clean=[" Mary met Mary"], corrupt=[" Mary met John"],
            ...                                  answer=[" and"], foil=[[" at", " met"]],
            ...                                  positions={"second name": ("Mary", 2)}, variables={"name": ["Mary"]})

        Args:
            model: its tokenizer encodes the text, after the tokens in `model.bos`.
            clean: prompts after which `answer` is correct.
            corrupt: prompts after which `foil` is correct, each with as many tokens as its clean prompt.
            answer: the correct text, or a list of correct texts.
            foil: the same for the corrupted prompts.
            templates: name of the wording of each pair.
            positions: by name, one place for all pairs or a list with one for each. A place is an index; a text, for
                the index of its last token; a text with its occurrence, such as ("John", 2) or ("John", -1) for the
                last; or {"clean": place, "corrupt": place}. Without the last form the text is looked up in the clean
                prompt. If the corrupted one has it as often, it has to be at the same index there.
            variables: by name, one number or label (text) for each pair.

        Raises:
            InputError: the lists have different lengths, or any error of `from_rows`.
        """
        lists = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil, "template": templates}
        return cls.from_rows(pairs_of_lists(lists, positions or {}, variables or {}), model=model)

    @classmethod
    @checked
    def load(cls, path: str | Path, *, model: HookedModel | None = None) -> "PromptPairs":
        """The pairs that `save` wrote to a file.

        Raises:
            InputError: the file is missing, damaged or of another kind, or its text was encoded for another tokenizer
                or first token than that of `model`.
        """
        from interp_emerge.abilities.own.keeping import read_pairs

        pairs = read_pairs(Path(path), cls)
        if model is not None:
            require_pairs(model, pairs)
        return pairs

    @checked
    def save(self, path: str | Path) -> None:
        """Write the pairs to a .safetensors file; its header holds what is not a tensor, as JSON.

        Raises:
            InputError: the name does not end in .safetensors, or the file cannot be written.
        """
        from interp_emerge.abilities.own.keeping import write_pairs

        write_pairs(self, Path(path))

    @checked
    def to_frame(self) -> "pd.DataFrame":
        """One row for each pair.

        Columns `pair`, `template`, `n_tokens` (of each prompt), `appended` (how many of these belong to answer and
        foil), `clean`, `corrupt`, `answer`, `foil` (several are separated by " | "), `position NAME` (index) and
        `variable NAME` (number or label). Tokens of pairs made from text, or drawn for a model with a tokenizer, are
        shown by name, others by their id.
        """
        from interp_emerge.abilities.own.showing import frame_of

        return frame_of(self)

    def _repr_html_(self) -> str:
        from interp_emerge.abilities.own.showing import html_of

        return html_of(self)

    @checked
    def __add__(self, other: "PromptPairs") -> "PromptPairs":
        """These pairs and then the others. Both have the same named positions and variables.

        Raises:
            InputError: the names differ, or the text was encoded by different tokenizers.
        """
        from interp_emerge.abilities.own.joining import fields_of_both

        return type(self)(**fields_of_both(self, other))

    def of_ability(self, name: str) -> "PromptPairs":
        """The same pairs, with this name in the field `ability`."""
        pairs = copy(self)
        pairs._put(ability=name)
        return pairs

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        named = f", positions {', '.join(self.positions)}" if self.positions else ""
        least, most = int(self.lengths.min()), int(self.lengths.max())
        tokens = f"{least}" if least == most else f"{least} to {most}"
        whole = self.completions
        several = f", answers of up to {whole.longest} tokens: patching reads the first that differs" if whole else ""
        return f"PromptPairs({counted(len(self), 'pair')} of {tokens} tokens{named}{several})"

    @property
    def appended(self) -> TokenIds:
        """How many of the last tokens of each pair's prompts belong to its answers and foils, shape [pair].

        Answers and foils of several tokens can begin alike. Patching reads the first token at which they differ, so the
        tokens before it stand at the end of both prompts. 0 for all others.
        """
        return torch.zeros_like(self.lengths) if self.completions is None else self.completions.appended

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

    def prompts(self, which: Literal["clean", "corrupt"]) -> list[list[int]]:
        """The clean or corrupted prompts as lists of one length; shorter prompts are filled up with -1."""
        return self._filled[which == "corrupt"].tolist()

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
            "labels": self.labels,
            "completions": None if self.completions is None else self.completions[rows],
            "encoding": self.encoding,
        }
        # The pairs were checked when they were made. Engines take many parts, so a part is not checked again.
        part = object.__new__(PromptPairs)
        part._set(**fields)
        return part

    @checked
    def split(self, share: float = 0.5, *, seed: int = 0) -> tuple["PromptPairs", "PromptPairs"]:
        """Two parts: a random share of the pairs to find a circuit on, and the other pairs to judge it on.

        Both keep the order of the pairs. Every template occurs in both in these proportions, up to rounding. Pairs with
        the same clean prompt go to the same part. The same seed gives the same split.

        Raises:
            InputError: the share is not between 0 and 1, or a part would be empty.
        """
        first, rest = rows_of_split(self, share, seed)
        return self[first], self[rest]

    @property
    def fingerprint(self) -> str:
        """Hash of all token ids of prompts, answers and foils; equal only for the same pairs in the same order."""
        return fingerprint_of(self)
