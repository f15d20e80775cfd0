"""A Hugging Face model run as a whole: its own logits, how it answers fixed prompts, and how large it is."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.shape import Shape
from interp_emerge.core.weights import may_change_unseen

ANSWERED = 6
"""Length of the fixed prompts, if the context is not shorter."""


def run_whole(hf: Any, tokens: Tensor, *, keep: int = 0) -> Tensor:
    """A Hugging Face model's own logits after each token, or after the last `keep`, shape [row, pos, d_vocab]."""
    more = {"logits_to_keep": keep} if keep and "logits_to_keep" in signature(hf.forward).parameters else {}
    logits = hf(input_ids=tokens, use_cache=False, return_dict=True, **more).logits
    return logits[:, -keep:] if keep else logits


def fixed_answers(hf: Any, shape: Shape) -> Tensor | None:
    """The model's logits on two short fixed prompts; None if it runs no code of its user.

    Hooks and own modules may read numbers that nothing else can see, such as a steering strength in a closure. Whether
    the model still answers as before shows whether these have changed.
    """
    if not may_change_unseen(hf):
        return None
    tokens = torch.arange(2 * ANSWERED, device=next(hf.parameters()).device).view(2, ANSWERED) * 7 % shape.d_vocab
    with torch.no_grad():
        return run_whole(hf, tokens[:, : shape.n_context]).float()


def same_answers(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two results of `fixed_answers` are equal but for rounding: the number of threads changes last bits."""
    if one is None or other is None or one.shape != other.shape:
        return one is other
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()), equal_nan=True)


def count_parameters(hf: Any) -> int:
    """Number of parameters of a Hugging Face model without its token, position and output embeddings."""
    outside = {id(parameter) for parameter in hf.get_output_embeddings().parameters()}
    for module in hf.modules():
        if isinstance(module, nn.Embedding):
            outside |= {id(parameter) for parameter in module.parameters()}
    return sum(parameter.numel() for parameter in hf.parameters() if id(parameter) not in outside)
