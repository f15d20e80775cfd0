"""How much fits: stages say what they need for one item, and get the number that fits at once.

The default budget is a constant, not a share of what is free: the size of a batch decides the last bits of a result,
and a run that is taken up again has to end with those of an undisturbed one.
"""

import os
from typing import Any

import torch

from interp_emerge.core.errors import InputError, require_whole

CPU_BUDGET = 1 << 29
"""Bytes that one stage takes by default. At the shape of Pythia-160M, a quarter of it makes edge attribution a third
slower, and twice as much no faster; smaller models do not tell them apart."""
ACCELERATOR_BUDGET = 1 << 31
"""The same where small batches would leave most of a device idle."""
BYTES_A_FLOAT = 4
LEAST_HEAD = 16
"""Width of a head where a configuration does not give one number of heads for all layers."""


def items_that_fit(
    bytes_each: int, n: int, *, device: torch.device, budget: int | None = None, what: str = "one prompt"
) -> int:
    """How many of `n` items to take at once so that they stay within the budget; at least one.

    Args:
        bytes_each: what one item needs.
        n: number of items.
        device: where they are held.
        budget: bytes; by default a constant for the kind of device, which one large item may exceed.
        what: the item, for the error.

    Raises:
        InputError: a single item needs more than the budget that was given, or more than there is, or the budget is
            not a number of bytes.
    """
    if budget is not None:
        require_whole(budget, "budget (bytes)", least=1)
    given = budget if budget is not None else CPU_BUDGET if device.type == "cpu" else ACCELERATOR_BUDGET
    limit = budget if budget is not None else max(given, free_bytes(device))
    if bytes_each > limit:
        raise InputError(f"{what} needs about {in_words(bytes_each)}, and {in_words(limit)} are "
                         f"{'allowed' if budget is not None else 'free'}; raise the budget, or take shorter prompts or "
                         "a smaller model")  # fmt: skip
    return max(1, min(n, given // max(1, bytes_each)))


def bytes_of_run(config: Any, length: int, n_positions: int, d_vocab: int) -> int:
    """Estimate of the memory that one prompt needs while transformers runs a model on it, with some positions' logits.

    Attention is supposed to hold its scores: with the mask, after the softmax, and in the model's dtype.
    """
    config = config.get_text_config()
    width = _number(config, "hidden_size", 0)
    heads = _number(config, "num_attention_heads", max(1, width // LEAST_HEAD))
    d_head = _number(config, "head_dim", width // max(1, heads))
    inner = _number(config, "moe_intermediate_size", 0) or _number(config, "intermediate_size", 4 * width)
    inner *= _number(config, "num_experts_per_tok", 1)
    features = 12 * width + 8 * heads * d_head + 4 * inner
    return BYTES_A_FLOAT * (length * features + 4 * heads * length**2 + 3 * n_positions * d_vocab)


def _number(config: Any, name: str, otherwise: int) -> int:
    """A number of a configuration, the largest where it gives one for each layer."""
    try:
        value = getattr(config, name, None)
    except RuntimeError:  # a field that transformers says differs between layers
        value = None
    if not value:
        return otherwise
    return int(max(value) if isinstance(value, list | tuple) else value)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def in_words(size: int | float) -> str:
    """A number of bytes with three digits and its unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.3g} {unit}"
