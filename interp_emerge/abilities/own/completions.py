"""Answers and foils of several tokens: where patching reads them, and what measuring reads.

Activations are exchanged for one next token, so a pair whose answer and foil have several tokens is read at the first
token at which they differ. Tokens that all answers and foils of the pair have in common before it are appended to both
prompts (`Completions.appended` counts them). Measuring reads whole answers, from the end of the prompt as it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp_emerge.core.axes import TokenIds
from interp_emerge.core.errors import InputError

FILL = -1
FirstAnswers = Int[Tensor, "pair answer"]
FirstFoils = Int[Tensor, "pair foil"]
AnswerTokens = Int[Tensor, "pair answer answer_pos"]
FoilTokens = Int[Tensor, "pair foil foil_pos"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Completions:
    """The tokens of every answer and foil after the pairs' prompts, filled up with -1.

    Raises:
        InputError: the three arrays do not belong to the same number of pairs.
    """

    answers: AnswerTokens
    """Shape [pair, answer, pos]. The first token of each is in `PromptPairs.answers`."""
    foils: FoilTokens
    """Shape [pair, foil, pos]."""
    appended: TokenIds
    """How many of the last tokens of each pair's prompts belong to its answers and foils, shape [pair]."""

    def __post_init__(self) -> None:
        if not len(self.answers) == len(self.foils) == len(self.appended):
            shapes = ", ".join(str(list(ids.shape)) for ids in (self.answers, self.foils, self.appended))
            raise InputError(f"completions of shapes {shapes} do not belong to the same pairs; give one row for each")

    @classmethod
    def of_lists(
        cls, answers: Sequence[Sequence[Sequence[int]]], foils: Sequence[Sequence[Sequence[int]]], appended: list[int]
    ) -> "Completions":
        """Completions from lists of token ids: for each pair a list of sequences."""
        return cls(answers=_filled(answers), foils=_filled(foils), appended=torch.tensor(appended))

    @classmethod
    def of_single(cls, answers: FirstAnswers, foils: FirstFoils) -> "Completions":
        """The completions of pairs whose answers and foils have one token each."""
        appended = torch.zeros(len(answers), dtype=torch.int64)
        return cls(answers=answers[:, :, None], foils=foils[:, :, None], appended=appended)

    def __getitem__(self, rows: Tensor) -> "Completions":
        """Those of some of the pairs."""
        return Completions(answers=self.answers[rows], foils=self.foils[rows], appended=self.appended[rows])

    def __add__(self, other: "Completions") -> "Completions":
        """Those of both, one pair after the other."""
        return Completions(
            answers=stacked_rows(self.answers, other.answers),
            foils=stacked_rows(self.foils, other.foils),
            appended=torch.cat([self.appended, other.appended]),
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The three arrays by name."""
        return {"answers": self.answers, "foils": self.foils, "appended": self.appended}

    @property
    def longest(self) -> int:
        """The largest number of tokens of an answer or foil, with those that were appended to the prompt."""
        lengths = [(ids >= 0).sum(-1) + self.appended[:, None] for ids in (self.answers, self.foils)]
        return max(int(of.max()) for of in lengths)

    def require_first(self, answers: FirstAnswers, foils: FirstFoils) -> None:
        """Raise an `InputError` unless each sequence begins with one of its pair's single tokens."""
        for name, ids, first in (("answer", self.answers, answers), ("foil", self.foils, foils)):
            if ids.ndim != 3 or len(ids) != len(first):
                raise InputError(f"completions of shape {list(ids.shape)} do not fit {len(first)} pairs; give shape "
                                 f"[pair, {name}, pos]")  # fmt: skip
            known = (ids[:, :, :1] == first[:, None]).any(-1) | (ids[:, :, 0] < 0)
            if not bool(known.all()):
                row = int((~known).any(1).nonzero()[0])
                raise InputError(f"a completion of pair {row} begins with a token that is not its {name}")


def common_beginning(sequences: Sequence[Sequence[int]]) -> int:
    """The number of first tokens that all sequences share."""
    shortest = min(map(len, sequences))
    return next((at for at in range(shortest) if len({one[at] for one in sequences}) > 1), shortest)


def without_continued(sequences: Sequence[list[int]]) -> list[list[int]]:
    """The sequences without those that begin with another of them.

    An answer counts as given if the text after the prompt begins with it, so a longer one adds nothing.
    """
    return [
        one for one in sequences if not any(len(other) < len(one) and one[: len(other)] == other for other in sequences)
    ]


def stacked_rows(first: Tensor, second: Tensor) -> Any:
    """Two arrays one below the other, filled up with -1 to a common shape."""
    shape = [max(sizes) for sizes in zip(first.shape[1:], second.shape[1:], strict=True)]
    filled = torch.full((len(first) + len(second), *shape), FILL, dtype=first.dtype)
    for start, part in ((0, first), (len(first), second)):
        filled[(slice(start, start + len(part)), *(slice(0, size) for size in part.shape[1:]))] = part
    return filled


def _filled(lists: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    longest = max(len(one) for of in lists for one in of)
    rows = [torch.tensor([[*one] + [FILL] * (longest - len(one)) for one in of]) for of in lists]
    return pad_sequence(rows, batch_first=True, padding_value=FILL)
