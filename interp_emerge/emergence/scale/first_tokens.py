"""Which token should come first in a prompt: the loss on the same text after each candidate.

A model was trained on texts that begin with a certain token, or directly with the text. The token that the tokenizer
calls beginning-of-text need not be the one used in training, and a wrong first token makes the model worse on every
prompt (docs/calibration.md has an example). So the loss is measured on the same passages after each candidate. The
first token of a passage is never predicted, so all candidates are compared on the same tokens.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from interp_emerge.abilities.measuring import PASSAGE_TOKENS
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.families.base import PASSAGE
from interp_emerge.stats.intervals import ratio_interval

LOOKS_FIRST = re.compile(r"bos|begin|start|endoftext|end_of_text|eot|sop|gmask|cls|^</?s>$", re.IGNORECASE)
MOST_OTHERS = 6
"""Largest number of special tokens to try, in addition to the tokenizer's own beginning and end of text."""
MOST_PASSAGES = 16
"""Largest number of passages with which a study checks its first token."""
CLEARLY = 0.05
"""A warning is given if another choice is better by more than this, nats per token. On SmolLM2-135M-Instruct the wrong
token costs 0.20, and the two good choices differ by 0.04."""
COLUMNS = ["choice", "token", "id", "loss", "above_best", "ci_low", "ci_high", "n_tokens", "in_use"]


@checked
@torch.no_grad()
def first_token_losses(model: HookedModel, text: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Next-token loss after each token that could come first: one row for each choice, the lowest loss first.

    Example:
        >>> ie.emergence.scale.first_token_losses(model, ["Mary met John", "Anna gave the book to Paul"])

    Args:
        model: a model with a tokenizer.
        text: passages, which are cut to 48 tokens. A single passage is split into its sentences. By default the text
            is a few English sentences.

    Returns:
        Columns `choice` (what the token is), `token` (as in the vocabulary; empty for no token), `id` (missing for
        no token), `loss` (nats per token), `above_best` (loss minus that of the best choice) with its 95%
        interval over passages `ci_low`, `ci_high` (NaN for fewer than 5), `n_tokens` (number of predicted tokens,
        the same for all choices), `in_use` (whether the model uses this choice now).

    Raises:
        InputError: the model has no tokenizer, or the text has no passage of two tokens or more.
    """
    if model.tokenizer is None:
        raise InputError(f"{model.spec} has no tokenizer, so first tokens cannot be compared on a text")
    choices = _choices(model)
    context = model.n_context or PASSAGE_TOKENS + 1
    longest = min(PASSAGE_TOKENS, context - max(map(len, choices)))
    rows = [ids for passage in _passages(text) if len(ids := model.encode(passage)[:longest]) > 1]
    if not rows:
        raise InputError("no passage of the text has two tokens; give longer ones")
    sums = np.array([_sums(model, [*choice], rows) for choice in choices])
    counts = np.array([len(row) - 1 for row in rows], dtype=float)
    best = sums[int(sums.sum(1).argmin())]
    found = []
    for choice, own in zip(choices, sums, strict=True):
        above = ratio_interval(own - best, counts)
        name, token = choices[choice], model.lexicon.recorded(choice)
        one = choice[0] if len(choice) == 1 else pd.NA
        loss, used = float(own.sum() / counts.sum()), list(choice) == model.bos
        found.append((name, token, one, loss, above.value, above.low, above.high, int(counts.sum()), used))
    frame = pd.DataFrame(found, columns=COLUMNS).astype({"id": "Int64"})
    return frame.sort_values("loss", kind="stable", ignore_index=True)


def warning_of_first_token(model: HookedModel, text: Sequence[str]) -> str:
    """A line of warning if another first token is clearly better than the one in use; empty if not, or without text.

    It says how to choose the better one, in Python and on the command line.
    """
    passages = _passages(text)
    try:
        table = first_token_losses(model, passages[:: max(1, len(passages) // MOST_PASSAGES)][:MOST_PASSAGES])
    except InputError:
        return ""
    (used,), best = table[table["in_use"]].to_dict("records"), table.iloc[0]
    if not (used["ci_low"] > 0 and used["above_best"] > CLEARLY):
        return ""
    python, shell = (repr(best["token"]), f'"{best["token"]}"') if best["token"] else ("False", "false")
    return (
        f"{model.spec} predicts text worse after {used['token'] or 'nothing'} ({used['loss']:.2f} nats per token) than "
        f"after {best['token'] or 'nothing'} ({best['loss']:.2f}), and then its abilities may look smaller than they "
        f"are; begin prompts with the better one: prepend_bos={python}, on the command line --prepend-bos {shell}"
    )


def _choices(model: HookedModel) -> dict[tuple[int, ...], str]:
    """The token ids that could come first, with a name for each choice."""
    named: dict[tuple[int, ...], list[str]] = {(): ["nothing"]}
    tokenizer = model.tokenizer
    for name, token in (("beginning of text", tokenizer.bos_token_id), ("end of text", tokenizer.eos_token_id)):
        if token is not None:
            named.setdefault((token,), []).append(name)
    for usual in (tuple(model.lexicon.first(None)), tuple(model.bos)):
        named.setdefault(usual, []).append("the tokenizer's own")
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {*tokenizer.all_special_ids, *(token for token, one in added.items() if one.special)}
    like = [token for token in sorted(special) if LOOKS_FIRST.search(model.lexicon.recorded([token]))]
    for token in [token for token in like if (token,) not in named][:MOST_OTHERS]:
        named[(token,)] = ["special token"]
    fitting = {ids: names for ids, names in named.items() if all(0 <= token < model.d_vocab for token in ids)}
    return {ids: names[0] if not ids else ", ".join(dict.fromkeys(names)) for ids, names in fitting.items()}


def _passages(text: str | Sequence[str] | None) -> list[str]:
    passages = [PASSAGE] if text is None else [text] if isinstance(text, str) else [*text]
    return re.split(r"(?<=[.!?])\s+", passages[0]) if len(passages) == 1 else passages


def _sums(model: HookedModel, first: list[int], rows: list[list[int]]) -> list[float]:
    """Loss of each passage after the tokens `first`, summed over all tokens of the passage except its first, nats."""
    sums = np.zeros(len(rows))
    for length in {len(row) for row in rows}:
        alike = [place for place, row in enumerate(rows) if len(row) == length]
        tokens = torch.tensor([first + rows[place] for place in alike], device=model.device)
        for some, logits in model.logits_in_chunks(tokens, last=length):
            truth = tokens[some, -length + 1 :]
            losses = cross_entropy(logits[:, :-1].float().transpose(1, 2), truth, reduction="none").sum(1)
            sums[alike[some]] = losses.cpu().double().numpy()
    return sums.tolist()
