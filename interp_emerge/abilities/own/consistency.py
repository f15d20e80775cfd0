"""What the fields of `PromptPairs` have to fulfil together, and with a model; and the hash that identifies pairs."""

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs


def require_consistent(pairs: "PromptPairs") -> None:
    """Raise an `InputError` if an argument does not have one entry for each pair, or answers and foils are alike."""
    n = len(pairs)
    if len(pairs.answer) != n or len(pairs.foil) != n:
        given = " and ".join(f"{list(ids.shape)}" for ids in (pairs.answer, pairs.foil))
        raise InputError(f"{n} pairs need {n} answers and foils, not arrays of shape {given}")
    both = (pairs.answers[:, :, None] == pairs.foils[:, None]) & (pairs.answers[:, :, None] >= 0)
    same = both.any((1, 2)).nonzero()
    if len(same):
        raise InputError(f"pair {int(same[0])} has the same token as answer and foil; they have to differ")
    if pairs.continuation is not None:
        _require_continuation(pairs, pairs.continuation)
    if pairs.completions is not None:
        pairs.completions.require_first(pairs.answers, pairs.foils)
    if pairs.templates and len(pairs.templates) != n:
        raise InputError(f"{n} pairs need {n} template names, not {len(pairs.templates)}")


def _require_continuation(pairs: "PromptPairs", continuation: Tensor) -> None:
    if continuation.ndim != 2 or len(continuation) != len(pairs):
        raise InputError(f"continuations of shape {list(continuation.shape)} do not fit {len(pairs)} pairs; give one "
                         "for each pair")  # fmt: skip
    inside = continuation >= 0
    if bool((continuation < -1).any()) or bool((inside[:, 1:] & ~inside[:, :-1]).any()):
        raise InputError("the continuation contains an id below 0; give token ids, and -1 only behind the last of them")
    other = (~(pairs.answers == continuation[:, :1]).any(1)).nonzero()
    if len(other):
        raise InputError(f"the continuation of pair {int(other[0])} begins with a token that is not its answer")


def need_one_length(pairs: "PromptPairs", what: str) -> str:
    """The error message for something that needs prompts of one length, given pairs of several."""
    least, most = int(pairs.lengths.min()), int(pairs.lengths.max())
    return (
        f"{what} needs prompts of one length, and these have {least} to {most} tokens; give pairs of one length, such "
        "as each group of `for rows, group in pairs.by_length()`, or choose a method or ablation that does not mix "
        "pairs"
    )


def require_pairs(model: HookedModel, pairs: "PromptPairs") -> None:
    """Raise an `InputError` unless the pairs fit the model.

    All tokens have to be in its vocabulary. The prompts have to fit its context and contain no padding. If they were
    text, it has to have been encoded with the model's tokenizer and first token.
    """
    if pairs.encoding is not None:
        pairs.encoding.require(model)
    for _, group in pairs.by_length():
        for tokens in (group.clean, group.corrupt):
            model.require_tokens(tokens)
            model.require_unpadded(tokens)
    for tokens in (pairs.answers, pairs.foils):
        model.require_tokens(tokens[tokens >= 0][:, None])
    if pairs.completions is not None:
        for tokens in (pairs.completions.answers, pairs.completions.foils):
            model.require_tokens(tokens[tokens >= 0][:, None])


def fingerprint_of(pairs: "PromptPairs") -> str:
    """Hash of all token ids of prompts, answers and foils."""
    arrays = [torch.tensor(pairs.prompts("clean")), torch.tensor(pairs.prompts("corrupt")), pairs.answer, pairs.foil]
    digest = hashlib.sha256()
    for ids in [*arrays, *(pairs.completions.tensors.values() if pairs.completions else ())]:
        digest.update(str(tuple(ids.shape)).encode())
        digest.update(ids.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]
