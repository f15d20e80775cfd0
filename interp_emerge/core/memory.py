"""How many items fit into memory at once, from the bytes that one item needs.

The default budget is a constant and not a share of the free memory. The size of a batch changes the last bits of a
result, and a resumed run has to give the same bits as an uninterrupted one.
"""

import os

import torch

from interp_emerge.core.errors import InputError, require_whole
from interp_emerge.core.shape import Shape

CPU_BUDGET = 1 << 29
"""Bytes that one stage uses by default. At the shape of Pythia-160M, edge attribution is a third slower with a quarter
of it, and no faster with twice as much. Smaller models show no difference."""
ACCELERATOR_BUDGET = 1 << 31
"""The same on a GPU, which small batches would leave mostly idle."""
BYTES_A_FLOAT = 4


def items_that_fit(
    bytes_each: int, n: int, *, device: torch.device, budget: int | None = None, what: str = "one prompt"
) -> int:
    """How many of `n` items to run at once within the budget; at least one.

    Args:
        bytes_each: bytes that one item needs.
        n: number of items.
        device: where they are held.
        budget: bytes; by default a constant for the kind of device, which one large item may exceed.
        what: name of the item, for the error.

    Raises:
        InputError: a single item needs more than the given budget or than the free memory, or the budget is not a
            number of bytes.
    """
    if budget is not None:
        require_whole(budget, "budget (bytes)", least=1)
    given = budget if budget is not None else CPU_BUDGET if device.type == "cpu" else ACCELERATOR_BUDGET
    limit = budget if budget is not None else max(given, free_bytes(device))
    if bytes_each > limit:
        here, remedy = ("allowed", "raise the budget, or use") if budget is not None else ("free", "use")
        raise InputError(f"{what} needs about {format_bytes(bytes_each)}, but only {format_bytes(limit)} are {here}; "
                         f"{remedy} shorter prompts or a smaller model")  # fmt: skip
    return max(1, min(n, given // max(1, bytes_each)))


def bytes_of_run(shape: Shape, length: int, n_positions: int) -> int:
    """Estimated bytes that transformers needs to run one prompt and return the logits of `n_positions` positions.

    Attention is assumed to hold its scores several times: with the mask, after the softmax, and in the model's dtype.
    """
    features = 12 * shape.d_model + 8 * shape.n_heads * shape.d_head + 4 * shape.d_inner
    return BYTES_A_FLOAT * (length * features + 4 * shape.n_heads * length**2 + 3 * n_positions * shape.d_vocab)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def format_bytes(size: int | float) -> str:
    """A number of bytes as text, with three digits and a unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.3g} {unit}"
