"""How near floats are that were computed apart.

The last bits of a product of matrices depend on the processor and on where in memory its factors lie, so that a model
read from a file and the same model made in memory need not give equal bits.
"""

import torch
from torch import Tensor

NEAR = 3e-5
"""Largest difference between logits of one model. With newer instructions of the processor switched off
(`ATEN_CPU_CAPABILITY=default`, `MKL_ENABLE_INSTRUCTIONS=SSE4_2` or `AVX2`, `MKL_CBWR=COMPATIBLE`) those of the small
and the bundled models, which go up to 12, moved by 1e-5 at most; another seed moves them by 2."""
APART = 0.01
"""Least of the largest differences between logits of two models."""


def assert_same_logits(found: Tensor, expected: Tensor) -> None:
    """Fails unless both have one shape and dtype, and differ by no more than bits that depend on the machine."""
    torch.testing.assert_close(found, expected, rtol=0, atol=NEAR)


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether logits differ by more than any machine's bits do."""
    return float((one - other).abs().max()) > APART
