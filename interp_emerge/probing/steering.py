"""Steering: the corrupted run is moved along the difference of two class means, from the foil's class to the answer's.

The class of the clean prompt is its label. The class of the corrupted prompt is what the nearest class mean says of its
activations. Both means are over clean activations of the training pairs. A pair whose class has no training pair is
left as it is.
"""

import torch

from interp_emerge.core.errors import InputError
from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Change, Swap


def change(swap: Swap) -> Change:
    if not swap.target.n_classes:
        raise InputError(f"variable {swap.target.variable!r} has real values, and steering moves between classes")
    y = swap.one_hot[swap.training]
    counts = y.sum(0)
    means = y.T @ swap.clean[swap.training] / counts.clamp_min(1)[:, None]
    distances = torch.cdist(swap.base, means).masked_fill(counts == 0, torch.inf)
    wanted, decoded = swap.target.labels.to(swap.base.device), distances.argmin(1)
    known = (counts[wanted] > 0)[:, None]
    moved = torch.where(known, means[wanted] - means[decoded], 0)
    between = means[counts > 0] - means[counts > 0].mean(0)
    left, sizes, _ = torch.linalg.svd(between.T, full_matrices=False)
    subspace = left[:, : max(1, int((sizes > 1e-5 * sizes[0]).sum()))]
    return Change(values=swap.base + moved, subspace=subspace, free=swap.source - swap.base)


shelf.add(
    Intervention(
        name="steering",
        summary="move the corrupted run by the difference of two class means, toward the clean prompt's class",
        source=Source("Rimsky et al.", 2024, "https://arxiv.org/abs/2312.06681"),
        runs="corrupt",
        change=change,
    )
)
