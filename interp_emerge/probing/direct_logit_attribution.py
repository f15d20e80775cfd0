"""Direct logit attribution: what a part's output adds to the final logits, with the final norm's scale held fixed.

The parts of the stream at the last position (the embedding and what each attention and MLP adds) have contributions
that sum to the logits, but for the biases of the final norm and the unembedding, which are the same for all prompts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Lens, LensReading


def prepare(model: HookedModel, streams: Sequence[Tensor]) -> LensReading:
    """A lens at the scale of these final streams, shape [prompt, d_model]."""
    decoder, final = model.decoder, torch.cat([*streams])
    norm = decoder.final_norm
    scale = norm.scale(final) if norm.module is not None else final.new_ones(len(final), 1)

    @torch.no_grad()
    def read(values: Tensor, _kind: str, _layer: int) -> Tensor:
        part = norm.linear(values.to(final), scale)
        return (decoder.unembed(part, None) - decoder.unembed(torch.zeros_like(part), None)).float()

    return read


shelf.add(
    Lens(
        name="direct_logit_attribution",
        summary="what a part's output adds to the final logits; the parts at the last position sum to them",
        source=Source("Elhage et al.", 2021, "https://transformer-circuits.pub/2021/framework"),
        prepare=prepare,
        linear=True,
    )
)
