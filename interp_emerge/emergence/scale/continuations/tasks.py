"""Answers of several tokens: exact match of the whole answer, compared with the accuracy of its single tokens.

If each token is correct with probability p, and tokens are independent, all L tokens are correct with probability p^L.
This can look like a jump where p rises smoothly. The edit distance, about L · (1 − p), falls as smoothly as p rises
(Schaeffer et al., 2023, https://arxiv.org/abs/2304.15004).

1. `several_tokens` runs each prompt once, followed by its true continuation. It takes the most likely token at each
   position given the *true* tokens before it. A model that generates freely reads its own errors instead. This does not
   change exact match, but it can change the tokens after an error.
2. `SeveralTokens.to_frame` compares exact match at every length up to L with its value for independent tokens. This
   value is computed in two ways: p^L with p the mean over positions, and the product of the accuracies of the
   positions. Where exact match is above the product, prompts differ in difficulty.
3. `continuations.ladder` compares many models, and decides whether a jump of exact match is due to the model.

The continuation is part of the pairs (`PromptPairs.continuation`). In the ability `induction` it reaches to the end of
the repeated segment, 12 tokens.

The edit distance (Levenshtein, 1966) between the most likely tokens and the true ones is in tokens.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import log_softmax

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.stats.intervals import mean_interval


@dataclass(frozen=True, kw_only=True, eq=False)
class SeveralTokens(Record):
    """The most likely token and the true token at each position of a continuation, shape [pair, pos].

    `log_prob` is the log-probability of the true token given all true tokens before it, nats.
    """

    guess: np.ndarray
    truth: np.ndarray
    log_prob: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether each guess is correct, shape [pair, pos]."""
        return self.guess == self.truth

    @property
    def exact(self) -> np.ndarray:
        """Exact match at each length: 1 if all tokens up to this position are correct, else 0, shape [pair, pos]."""
        return np.logical_and.accumulate(self.right, axis=1).astype(np.float64)

    @property
    def edits(self) -> np.ndarray:
        """Edit distance between the guessed and the true tokens of each pair, in tokens, shape [pair]."""
        return edit_distances(self.guess, self.truth)

    def pass_rate(self, length: int) -> float:
        """Probability that the first `length` tokens, sampled at temperature 1, are all correct; mean over prompts."""
        return float(np.exp(self.log_prob[:, :length].sum(1)).mean())

    def to_frame(self) -> pd.DataFrame:
        """One row for each length, from 1 to that of the continuation, with 95% intervals over prompts.

        Columns `length` (tokens), `token_accuracy` (mean over positions), `exact_match`, `exact_low`, `exact_high`,
        `power` (token_accuracy to the power of the length), `product` (of the accuracies of the positions),
        `edit_distance` (tokens), `edit_low`, `edit_high`, `substitutions` (length · (1 − token_accuracy)), `log_prob`
        (nats per token).
        """
        rows, positions = [], self.right.mean(0)
        for length in range(1, self.truth.shape[1] + 1):
            p = float(positions[:length].mean())
            exact = mean_interval(self.exact[:, length - 1], share=True)
            edits = mean_interval(edit_distances(self.guess[:, :length], self.truth[:, :length]))
            rows.append(
                {
                    "length": length,
                    "token_accuracy": p,
                    **exact.columns("exact_match", "exact"),
                    "power": p**length,
                    "product": float(positions[:length].prod()),
                    **edits.columns("edit_distance", "edit"),
                    "substitutions": length * (1 - p),
                    "log_prob": float(self.log_prob[:, :length].mean()),
                }
            )
        return pd.DataFrame(rows)


@checked
@torch.no_grad()
def several_tokens(model: HookedModel, pairs: PromptPairs) -> SeveralTokens:
    """The most likely tokens after each clean prompt, each of them given the true tokens before it.

    Example:
        >>> found = ie.emergence.scale.continuations.several_tokens(model, pairs)
        >>> found.exact.mean(0)  # share of prompts with the first one, two, ... tokens right

    Args:
        model: the model.
        pairs: pairs with a continuation of each clean prompt.

    Raises:
        InputError: the pairs have no continuation, continuations of several lengths, or text that does not fit the
            model.
    """
    continuation = pairs.continuation
    if continuation is None:
        raise InputError("the pairs have no continuation; give PromptPairs(continuation=...), the tokens that follow "
                         "each clean prompt, or pairs of an ability that has one, such as induction")  # fmt: skip
    require_pairs(model, pairs)
    length = continuation.shape[1]
    lengths = (continuation >= 0).sum(1)
    if int(lengths.min()) < length:
        raise InputError(f"the continuations have {int(lengths.min())} to {length} tokens; give those of one length, "
                         "such as pairs[rows], or use measure, which reads answers of any length")  # fmt: skip
    guesses, log_probs = [], []
    for of_all, group in pairs.by_length():
        text = torch.cat([group.clean, continuation[of_all]], 1)
        model.require_tokens(text)
        for rows, logits in model.logits_in_chunks(text[:, :-1], last=length):
            guesses.append(logits.argmax(-1).cpu().numpy())
            truth = text[rows, -length:].to(model.device)
            found = log_softmax(logits.float(), -1).gather(-1, truth[:, :, None])[:, :, 0]
            log_probs.append(found.cpu().double().numpy())
    return SeveralTokens(guess=pairs.in_order(guesses), truth=continuation.numpy(), log_prob=pairs.in_order(log_probs))


@checked
def edit_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest number of insertions, deletions and substitutions that turn each row of a into that of b, shape [row].

    Example:
        >>> ie.emergence.scale.continuations.edit_distances(np.array([[1, 2, 3]]), np.array([[2, 3, 4]]))
        array([2...])

    Raises:
        InputError: the arrays differ in their number of rows, or do not have two dimensions.
    """
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise InputError(
            f"edit distances need two arrays of shape [row, token] with equal numbers of rows, not {a.shape} "
            f"and {b.shape}"
        )
    before = np.tile(np.arange(b.shape[1] + 1, dtype=np.float64), (len(a), 1))
    for i in range(a.shape[1]):
        now = np.empty_like(before)
        now[:, 0] = i + 1
        for j in range(b.shape[1]):
            replaced = before[:, j] + (a[:, i] != b[:, j])
            now[:, j + 1] = np.minimum(replaced, 1 + np.minimum(before[:, j + 1], now[:, j]))
        before = now
    return before[:, -1]
