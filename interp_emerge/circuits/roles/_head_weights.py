"""The weights of a layer's heads as maps from the residual stream and back, with the fixed part of norms folded in.

A norm multiplies each feature by a gain, may subtract the mean over features, and divides by a scale that depends on
the prompt. Gain and mean are folded into the weights. Left out are the scale and bias of the norm, biases of the
projections, rotary embeddings, and norms, clipping and caps inside attention.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp_emerge.core.decoder import Block, Norm


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadWeights:
    """One layer's heads, in float32 at least; keys and values by key-value head.

    `q`, `k` and `v` map the stream before the layer's norm to a head's features. `o` maps these to the head's output.
    """

    q: Float[Tensor, "head d_head d_model"]
    k: Float[Tensor, "kv_head d_head d_model"]
    v: Float[Tensor, "kv_head d_value d_model"]
    o: Float[Tensor, "head d_model d_value"]

    @classmethod
    def of(cls, block: Block) -> "HeadWeights":
        """The weights of a block's heads."""
        q, k, v = (read_through(block.attention_norm, side.weight().detach()) for side in (block.q, block.k, block.v))
        out = block.attention_out.weight().detach().T.unflatten(0, (block.q.n_heads, -1))
        o = block.attention_post_norm.linear(_wide(out), torch.ones((), dtype=torch.float32, device=out.device)).mT
        return cls(q=q, k=k, v=v, o=o)

    @property
    def group(self) -> int:
        """The number of heads that share a key and value."""
        return len(self.q) // len(self.k)


def read_through(norm: Norm, weight: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
    """A weight that reads a norm's output, as a weight that reads the norm's input if the scale is one."""
    weight = _wide(weight)
    if norm.gain is not None:
        weight = weight * norm.gain
    return weight - weight.mean(-1, keepdim=True) if norm.centred else weight


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
