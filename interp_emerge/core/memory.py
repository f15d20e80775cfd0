"""How much fits: stages say what they need for one item, and get the number that fits at once.

The default budget is a constant, not a share of what is free: the size of a batch decides the last bits of a result,
and a run that is taken up again has to end with those of an undisturbed one.
"""

import os

import torch

from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.shape import Shape

CPU_BUDGET = 1 << 29
"""Bytes that one stage takes by default. At the shape of Pythia-160M, a quarter of it makes edge attribution a third
slower, and twice as much no faster; smaller models do not tell them apart."""
ACCELERATOR_BUDGET = 1 << 31
"""The same where small batches would leave most of a device idle."""
BYTES_A_FLOAT = 4


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


def bytes_of_run(shape: Shape, length: int, n_positions: int) -> int:
    """Estimate of the memory that one prompt needs while transformers runs a model on it, with some positions' logits.

    Attention is supposed to hold its scores: with the mask, after the softmax, and in the model's dtype.
    """
    features = 12 * shape.d_model + 8 * shape.n_heads * shape.d_head + 4 * shape.d_inner
    return BYTES_A_FLOAT * (length * features + 4 * shape.n_heads * length**2 + 3 * n_positions * shape.d_vocab)


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
