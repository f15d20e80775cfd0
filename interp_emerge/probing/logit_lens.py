"""The logit lens: what the final norm and the unembedding make of a site, as if the model ended there.

It reads the stream between blocks, between attention and MLP, and what either of them adds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Lens, LensReading


def prepare(model: HookedModel, _prompts: Sequence[Tensor]) -> LensReading:
    """A lens that needs no training."""
    decoder = model.decoder

    @torch.no_grad()
    def read(values: Tensor, _kind: str, _layer: int) -> Tensor:
        return decoder.logits(values.to(model.dtype)).float()

    return read


shelf.add(
    Lens(
        name="logit_lens",
        summary="the model's final norm and unembedding, applied to a site",
        source=Source("nostalgebraist", 2020, "https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru"),
        prepare=prepare,
    )
)
