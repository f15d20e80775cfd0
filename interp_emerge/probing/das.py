"""Distributed alignment search: an interchange in directions that are learned to raise the metric.

Adam turns an orthonormal basis so that the corrupted run with the clean value in it has the highest metric on the
training pairs. It starts at the directions that a probe reads. A learned subspace can find effects in an untrained
model too (Arora et al., 2024, https://arxiv.org/abs/2402.12560), so it is judged on other pairs, against placebos.
TransformerLens has `fit_das` for one hook.
"""

import torch

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Change, Swap

RATE = 0.05


def change(swap: Swap) -> Change:
    free = swap.source - swap.base
    base, moved = swap.base[swap.training], free[swap.training]
    raw = swap.read_by_probe().clone().requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=RATE)
    with torch.enable_grad():
        for _ in range(swap.steps if bool(moved.any()) else 0):
            subspace = torch.linalg.qr(raw)[0]
            loss = -swap.metric(base + moved @ subspace @ subspace.T).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    subspace = torch.linalg.qr(raw.detach())[0]
    return Change(values=swap.base + free @ subspace @ subspace.T, subspace=subspace, free=free)


shelf.add(
    Intervention(
        name="das",
        summary="put the clean value into the corrupted run, in directions that are learned to raise the metric",
        source=Source("Geiger et al.", 2024, "https://arxiv.org/abs/2303.02536"),
        runs="corrupt",
        change=change,
    )
)
