"""Least-squares concept erasure: the smallest change after which no linear probe does better than a constant.

The eraser is the `concept-erasure` library's. It is fitted on the clean activations of the training pairs, for which
its guarantee holds exactly; on other pairs it holds as far as they have the same means and covariance.
"""

import torch
from concept_erasure import LeaceFitter

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Change, Swap


def change(swap: Swap) -> Change:
    x, z = swap.clean[swap.training].double(), swap.one_hot[swap.training].double()
    # Without shrinkage: the guarantee is about the covariance of these very activations.
    eraser = LeaceFitter.fit(x, z, shrinkage=False).eraser
    values = eraser(swap.base.double()).to(swap.base.dtype)
    subspace = torch.linalg.qr(eraser.proj_left.to(swap.base.dtype))[0]
    return Change(values=values, subspace=subspace, free=swap.base - eraser.bias.to(swap.base.dtype))


shelf.add(
    Intervention(
        name="leace",
        summary="erase all that a linear probe can decode from the clean run, with the smallest change",
        source=Source("Belrose et al.", 2023, "https://arxiv.org/abs/2306.03819"),
        runs="clean",
        change=change,
    )
)
