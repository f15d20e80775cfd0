"""What is kept of a checkpoint while others are read: hashes, a sample of every matrix, and losses.

A sample of `SAMPLED` values, evenly spaced, stands for a matrix. Distances and angles between matrices are estimated
from it, so that a run of 154 checkpoints fits into memory: 150 matrices take 2.4 MB a checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

SAMPLED = 4096
PASSAGE_TOKENS = 48
"""Largest number of tokens of a passage that are predicted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """A checkpoint as far as it is kept."""

    hashes: dict[str, str]
    """Hash of each parameter, by name."""
    samples: dict[str, np.ndarray]
    """Values of each parameter with two dimensions or more, shape [value]."""
    loss: float
    """Mean next-token loss on held-out text, nats per token; NaN if the text cannot be encoded."""

    @property
    def whole(self) -> str:
        """A hash of all weights."""
        return sha256("".join(f"{name}{one}" for name, one in sorted(self.hashes.items())).encode()).hexdigest()


@torch.no_grad()
def look_at(model: HookedModel, passages: Sequence[str]) -> Look:
    """Read a model once."""
    hashes, samples = {}, {}
    for name, parameter in model.hf.named_parameters():
        plain = parameter.detach().cpu().contiguous()
        hashes[name] = sha256(plain.flatten().view(torch.uint8).numpy()).hexdigest()
        if parameter.ndim > 1:
            flat = plain.flatten()
            places = torch.linspace(0, flat.numel() - 1, min(SAMPLED, flat.numel()), dtype=torch.float64).long()
            samples[name] = flat[places].double().numpy()
    return Look(hashes=hashes, samples=samples, loss=_loss(model, passages))


def _loss(model: HookedModel, passages: Sequence[str]) -> float:
    try:
        rows = [(model.bos + model.encode(passage))[: PASSAGE_TOKENS + 1] for passage in passages]
    except InputError:
        return float("nan")
    total, count = 0.0, 0
    for length in sorted({len(row) for row in rows if len(row) > 1}):
        tokens = torch.tensor([row for row in rows if len(row) == length], device=model.device)
        for some, logits in model.logits_in_chunks(tokens, last=None):
            following = tokens[some, 1:].flatten()
            total += float(cross_entropy(logits[:, :-1].float().flatten(0, 1), following, reduction="sum"))
            count += following.numel()
    return total / count if count else float("nan")
