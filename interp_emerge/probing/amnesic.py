"""Amnesic probing: directions are removed from the clean run until a linear probe decodes no more than the majority.

Iterative null-space projection (Ravfogel et al., 2020, https://arxiv.org/abs/2004.07667): a probe is fitted on half of
the training pairs, its directions are removed, and another one is fitted, until its accuracy on the other half is not
above that of the most frequent class, or a quarter of the dimensions is gone.
"""

import torch

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Change, Swap, subspace_of

MOST_ROUNDS = 16


def change(swap: Swap) -> Change:
    rows = swap.training.nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(swap.seed)).to(rows.device)]
    fitted, judged = rows[::2], rows[1::2]
    mean = swap.clean[fitted].mean(0)
    centred, targets = swap.clean - mean, swap.one_hot
    subspace = centred.new_zeros(centred.shape[1], 0)
    most = swap.most_directions
    for _ in range(MOST_ROUNDS):
        left = centred - centred @ subspace @ subspace.T
        rank = min(most - subspace.shape[1], max(1, swap.target.n_classes - 1))
        if rank < 1 or (
            subspace.shape[1] and not _decodes(left[fitted], targets[fitted], left[judged], targets[judged])
        ):
            break
        more = subspace_of(left[fitted], targets[fitted], rank)
        subspace = torch.linalg.qr(torch.cat([subspace, more], 1))[0]
    free = swap.base - mean
    return Change(values=swap.base - free @ subspace @ subspace.T, subspace=subspace, free=free)


def _decodes(x: torch.Tensor, y: torch.Tensor, other_x: torch.Tensor, other_y: torch.Tensor) -> bool:
    """Whether least squares on some prompts predicts others better than their most frequent class or mean."""
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    mean = y.mean(0)
    level = 1e-3 * x.square().mean().clamp_min(1e-12)
    weight = torch.linalg.lstsq(x.T @ x / len(x) + level * eye, x.T @ (y - mean) / len(x)).solution
    predicted = mean + other_x @ weight
    if y.shape[1] == 1:
        return bool((predicted - other_y).square().mean() < (other_y - mean).square().mean())
    right = (predicted.argmax(1) == other_y.argmax(1)).float().mean()
    return bool(right > other_y.mean(0).max())


shelf.add(
    Intervention(
        name="amnesic",
        summary="remove directions from the clean run until a linear probe decodes no more than the majority class",
        source=Source("Elazar et al.", 2021, "https://arxiv.org/abs/2006.00995"),
        runs="clean",
        change=change,
    )
)
