"""Interchange: the corrupted run gets the clean run's value of the variable, in the directions that a probe reads.

Counterfactual values keep the activations where the model has seen them, which erasing does not (Canby et al., 2024,
https://arxiv.org/abs/2408.15510). TransformerLens has the same intervention for one hook in `tools.analysis`.
"""

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Change, Swap


def change(swap: Swap) -> Change:
    subspace, free = swap.read_by_probe(), swap.source - swap.base
    return Change(values=swap.base + free @ subspace @ subspace.T, subspace=subspace, free=free)


shelf.add(
    Intervention(
        name="interchange",
        summary="put the clean value into the corrupted run, in the directions that a linear probe reads",
        source=Source("Geiger et al.", 2021, "https://arxiv.org/abs/2106.02997"),
        runs="corrupt",
        change=change,
    )
)
