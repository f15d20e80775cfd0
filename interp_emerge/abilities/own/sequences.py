"""Log-probabilities of whole answers and foils: the sum over their tokens, each given the tokens before it.

A run of the model covers a prompt and all tokens of an answer but the last. Answers of one pair that differ in their
last token only share that run, so a pair costs as many forward passes as its answers and foils have different
beginnings. The log-probability begins at the end of the prompt as it was given: tokens that answers and foils share,
which `Completions.appended` counts at the end of the prompt, count too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from tqdm.auto import tqdm

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

if TYPE_CHECKING:
    from interp_emerge.abilities.pairs import PromptPairs


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeAnswers:
    """What a model says of the whole answers and foils after each clean prompt, shape [pair] each."""

    answer: Tensor
    """Log-probability that the text begins with any of the answers, nats."""
    foil: Tensor
    """The same for the foils."""
    right: Tensor
    """1 if the most likely tokens, one after the other, spell an answer, else 0."""


OF_WHOLE: dict[str, Callable[[WholeAnswers], Tensor]] = {
    "logit_diff": lambda whole: whole.answer - whole.foil,
    "prob_diff": lambda whole: whole.answer.exp() - whole.foil.exp(),
    "log_prob": lambda whole: whole.answer,
    "prob": lambda whole: whole.answer.exp(),
    "choice_prob": lambda whole: torch.sigmoid(whole.answer - whole.foil),
    "accuracy": lambda whole: whole.right,
    "brier": lambda whole: -((1 - torch.sigmoid(whole.answer - whole.foil)) ** 2),
}
"""Metrics of whole answers by name. With answers of one token they are those of `metrics`."""


@dataclass(frozen=True)
class _Sequence:
    """One answer or foil: where its log-probability is stored, and its last token."""

    foil: bool
    place: tuple[int, int]
    last: int


@torch.no_grad()
def whole_answers(model: HookedModel, pairs: "PromptPairs", *, budget: int | None = None) -> WholeAnswers:
    """Log-probabilities of the whole answers and foils after each clean prompt.

    Raises:
        InputError: a prompt with its answer does not fit the model's context.
    """
    whole = pairs.completions
    assert whole is not None
    found = [torch.full(ids.shape[:2], -torch.inf, dtype=torch.float64) for ids in (whole.answers, whole.foils)]
    right = torch.zeros(len(pairs), dtype=torch.float64)
    runs = _runs(pairs)
    n_runs = sum(len(of) for of in runs.values())
    with tqdm(total=n_runs, desc="whole answers", unit="run", delay=2, leave=False) as bar:
        for (length, read), texts in runs.items():
            if model.n_context is not None and length > model.n_context:
                raise InputError(f"a prompt with its answer has {length + 1} tokens, and {model.spec} has a context of "
                                 f"{model.n_context}; give shorter prompts or answers")  # fmt: skip
            tokens = torch.tensor([*texts])
            sequences = [*texts.values()]
            for rows, logits in model.logits_in_chunks(tokens, last=read, budget=budget):
                before = tokens[rows, length - read + 1 :].to(logits.device)
                log_probs = log_softmax(logits.float(), -1)
                path = log_probs[:, :-1].gather(-1, before[:, :, None])[:, :, 0].double().sum(1)
                likely = (logits[:, :-1].argmax(-1) == before).all(1)
                best = logits[:, -1].argmax(-1)
                for at, of in enumerate(sequences[rows]):
                    for one in of:
                        found[one.foil][one.place] = float(path[at] + log_probs[at, -1, one.last].double())
                        if not one.foil and bool(likely[at]) and int(best[at]) == one.last:
                            right[one.place[0]] = 1.0
                bar.update(len(logits))
    return WholeAnswers(answer=found[0].logsumexp(1), foil=found[1].logsumexp(1), right=right)


def _runs(pairs: "PromptPairs") -> dict[tuple[int, int], dict[tuple[int, ...], list[_Sequence]]]:
    """By length of the text and number of positions to read: each text to run, and the sequences that it begins."""
    whole = pairs.completions
    assert whole is not None
    runs: dict[tuple[int, int], dict[tuple[int, ...], list[_Sequence]]] = {}
    lengths, appended = pairs.lengths.tolist(), whole.appended.tolist()
    for row, prompt in enumerate(pairs.prompts("clean")):
        for foil, ids in ((False, whole.answers[row].tolist()), (True, whole.foils[row].tolist())):
            for place, padded in enumerate(ids):
                tokens = [token for token in padded if token >= 0]
                if tokens:
                    text = (*prompt[: lengths[row]], *tokens[:-1])
                    key = len(text), appended[row] + len(tokens)
                    sequence = _Sequence(foil, (row, place), tokens[-1])
                    runs.setdefault(key, {}).setdefault(text, []).append(sequence)
    return runs
