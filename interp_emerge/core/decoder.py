"""A decoder as the analyses read it: every norm, projection, head and MLP as a function that can be run by itself.

`families` builds a `Decoder` over the parameters of a Hugging Face model and proves on every model that it computes the
model's own logits. Running the parts by hand is what lets an analysis start at any layer and position, give each reader
an input of its own, and split what a block adds among its heads, with no hook on the model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, softmax

from interp_emerge.core.axes import HeadVectors, KeyValueVectors, Residual, Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Norm:
    """A layer norm or root-mean-square norm, together with the linear map that it is once its scale is known."""

    module: nn.Module | None
    """None stands for no norm at all."""
    centred: bool = False
    eps: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        return x if self.module is None else self.module(x)

    @cached_property
    def gain(self) -> Tensor | None:
        """What each feature is multiplied with, in float32, shape [d_model]."""
        weight = getattr(self.module, "weight", None)
        if self.module is None or weight is None:
            return None
        if self.centred:
            return _wide(weight.detach())
        # Some norms multiply by the weight and some by one plus the weight: the norm of ones tells which.
        return _wide(self.module(torch.ones_like(weight)).detach()) * (1 + self.eps) ** 0.5

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        """What the norm of `x` divides by, inverted."""
        x = self._centre(_wide(x))
        return (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()

    def linear(self, part: Tensor, scale: Tensor) -> Tensor:
        """A part of the norm's input as it stands in the output: the parts' outputs sum to the norm, less its bias."""
        if self.module is None:
            return part
        out = self._centre(_wide(part)) * scale
        return (out if self.gain is None else out * self.gain).to(part.dtype)

    def pull_back(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Gradient at the input `x` from the gradient at the output; shapes broadcast but for the last axis."""
        if self.module is None:
            return gradient
        scale = self.scale(x)
        direction = self._centre(_wide(x)) * scale
        at_direction = _wide(gradient) if self.gain is None else _wide(gradient) * self.gain
        along = (at_direction * direction).mean(-1, keepdim=True)
        return (self._centre(at_direction - along * direction) * scale).to(gradient.dtype)

    def _centre(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """The part of a linear module that makes the queries, keys or values; several may share one fused module."""

    module: nn.Module
    shape: tuple[int, ...]
    """How the module's outputs unfold: heads × d_head, with a third axis where queries, keys and values are fused."""
    axis: int = 0
    part: int | None = None
    """Where the part lies on that axis; None where nothing is fused."""

    @property
    def n_heads(self) -> int:
        return self.shape[1] if self.part is not None and self.axis == 0 else self.shape[0]

    def heads_of(self, values: Tensor, dim: int = -1) -> Tensor:
        """The module's output, unfolded along `dim` into this projection's heads and their features."""
        dim %= values.ndim
        unfolded = values.unflatten(dim, self.shape)
        return unfolded if self.part is None else unfolded.select(dim + self.axis, self.part)

    def weight(self) -> Float[Tensor, "head d_head d_model"]:
        return self.heads_of(output_by_input(self.module), 0)

    def bias(self) -> Float[Tensor, "head d_head"] | None:
        bias = getattr(self.module, "bias", None)
        return None if bias is None else self.heads_of(bias, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """What happens between the projections and the heads' outputs."""

    scale: float
    query_norm: nn.Module | None = None
    key_norm: nn.Module | None = None
    joins_heads: bool = False
    """Whether these norms run over all heads at once, so that one head's query or key changes every head's."""
    rotary: Callable[[int], tuple[Tensor, Tensor]] | None = None
    """Cosines and sines of the first positions, shape [pos, feature] each."""
    slopes: Float[Tensor, " head"] | None = None
    """What each head's score loses for each position that a key lies further back (Press et al., 2022)."""
    window: int | None = None
    """How many of the latest positions a query sees; None: all."""
    softcap: float | None = None
    clip: float | None = None

    def mix(self, q: HeadVectors, k: KeyValueVectors, v: KeyValueVectors) -> HeadVectors:
        """Each head's output before its last projection, from the outputs of the projections.

        Keys and values stand for all positions, queries for the last ones.
        """
        if self.softcap is not None:
            return self.weigh(self.pattern(q, k), v)
        ready, bias = self._scored(q, k)
        values = self._clipped(v).transpose(1, 2)
        mixed = scaled_dot_product_attention(
            *ready, values, attn_mask=bias.to(values.dtype), scale=self.scale, enable_gqa=q.shape[2] != k.shape[2]
        )
        return mixed.transpose(1, 2)

    def pattern(self, q: HeadVectors, k: KeyValueVectors) -> Float[Tensor, "row head query key"]:
        """How much each query attends to each key; rows sum to one."""
        (queries, keys), bias = self._scored(q, k)
        scores = _wide(queries @ _for_heads(keys, q.shape[2]).mT * self.scale)
        if self.softcap is not None:
            scores = (scores / self.softcap).tanh() * self.softcap
        return softmax(scores + bias, -1).to(q.dtype)

    def weigh(self, pattern: Tensor, v: KeyValueVectors) -> HeadVectors:
        """The values that a pattern gathers."""
        return (pattern @ _for_heads(self._clipped(v).transpose(1, 2), pattern.shape[1])).transpose(1, 2)

    def _scored(self, q: Tensor, k: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Queries and keys by head, as their products make the scores, and what is added to these."""
        length = k.shape[1]
        ready = self._ready(q, self.query_norm, length), self._ready(k, self.key_norm, length)
        return ready, self._bias(q.shape[1], length, q.device)

    def _ready(self, x: Tensor, norm: nn.Module | None, length: int) -> Tensor:
        if norm is not None:
            x = norm(x.flatten(2)).view_as(x) if self.joins_heads else norm(x)
        x = self._clipped(x).transpose(1, 2)
        if self.rotary is None:
            return x
        cos, sin = (turn[length - x.shape[2] :] for turn in self.rotary(length))
        turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        first, second = turned.chunk(2, -1)
        turned = (turned * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)
        return torch.cat([turned, rest], -1) if rest.shape[-1] else turned

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def _bias(self, n_queries: int, length: int, device: torch.device) -> Tensor:
        keys = torch.arange(length, device=device)
        back = keys[length - n_queries :, None] - keys
        unseen = back < 0 if self.window is None else (back < 0) | (back >= self.window)
        bias = torch.zeros(back.shape, device=device).masked_fill(unseen, -torch.inf)
        return bias if self.slopes is None else bias - self.slopes.to(device)[:, None, None] * back


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """One layer. Attention and MLP each read the residual stream through a norm and add to it, perhaps through one."""

    attention_norm: Norm
    q: Projection
    k: Projection
    v: Projection
    attention: Attention
    attention_out: nn.Module
    attention_post_norm: Norm
    mlp_norm: Norm
    mlp: Callable[[Tensor], Tensor]
    mlp_post_norm: Norm
    parallel: bool
    """Whether the MLP reads the stream before the attention of its layer has written."""

    @property
    def form(self) -> tuple[bool, bool, bool]:
        """Whether the block is parallel, its heads are joined by a norm, and rescaled together by one: see `Graph`."""
        return self.parallel, self.attention.joins_heads, self.attention_post_norm.module is not None

    def project(self, normed: Tensor) -> tuple[HeadVectors, KeyValueVectors, KeyValueVectors]:
        """Queries, keys and values from the attention norm's output, shape [row, pos, head, d_head] each."""
        made = {module: module(normed) for module in dict.fromkeys((self.q.module, self.k.module, self.v.module))}
        q, k, v = (side.heads_of(made[side.module]) for side in (self.q, self.k, self.v))
        return q, k, v

    def project_one(self, side: Projection, normed: Float[Tensor, "... d_model"]) -> Float[Tensor, "... head d_head"]:
        """The queries, keys or values alone, also where one module makes all three."""
        weight, bias = side.weight(), side.bias()
        return linear(normed, weight.flatten(0, 1), None if bias is None else bias.flatten()).unflatten(
            -1, weight.shape[:2]
        )

    def some_heads_write(self, z: Float[Tensor, "row pos some_head d_head"], heads: slice) -> Residual:
        """The sum of some heads' terms, before any norm behind attention, from their part of z."""
        weight = output_by_input(self.attention_out).unflatten(1, (self.q.n_heads, -1))[:, heads]
        return linear(z.flatten(2), weight.flatten(1))

    def attention_writes(self, z: HeadVectors) -> Residual:
        """What attention adds to the stream: the sum of the heads' terms, and a bias that belongs to none."""
        return self.attention_post_norm(self.attention_out(z.flatten(2)))

    def head_writes(self, z: HeadVectors) -> Float[Tensor, "row pos head d_model"]:
        """What each head adds to the stream. Behind a norm, all heads share the scale that they have together."""
        weight = output_by_input(self.attention_out).unflatten(1, z.shape[2:])
        terms = torch.einsum("rphk,dhk->rphd", z, weight)
        if self.attention_post_norm.module is None:
            return terms
        scale = self.attention_post_norm.scale(self.attention_out(z.flatten(2)))
        return self.attention_post_norm.linear(terms, scale.unsqueeze(2))

    def mlp_writes(self, stream: Residual) -> Residual:
        """What the MLP adds to the stream, from the stream that it reads."""
        return self.mlp_post_norm(self.mlp(self.mlp_norm(stream)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoder:
    """All blocks, and what stands before and after them."""

    embed: Callable[[Tokens], Residual]
    blocks: tuple[Block, ...]
    final_norm: Norm
    unembed: Callable[[Tensor, Tensor | None], Tensor]
    """From the final norm's output to the logits of all tokens, or of some."""

    def logits(
        self, stream: Float[Tensor, "... d_model"], tokens: Int[Tensor, "... token"] | None = None
    ) -> Float[Tensor, "... token"]:
        """Next-token logits from the residual stream after the last block: of all tokens, or of some for each place."""
        return self.unembed(self.final_norm(stream), tokens)


@contextmanager
def only_running(module: nn.Module) -> Iterator[None]:
    """While open, the module is in evaluation mode and no parameter asks for a gradient; then all is as before."""
    asked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    training = [part for part in module.modules() if part.training]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        for part in training:
            part.training = False
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
        for part in training:
            part.training = True


def output_by_input(module: nn.Module) -> Float[Tensor, "output input"]:
    """A linear module's weight with outputs first; GPT-2's convolution-like layers store it the other way round."""
    weight = module.get_parameter("weight")
    return weight.T if type(module).__name__ == "Conv1D" else weight


def _wide(values: Tensor) -> Tensor:
    """Values in float32 at least: half precision loses the small differences that scores are made of."""
    return values if values.dtype == torch.float64 else values.float()


def _for_heads(shared: Tensor, n_heads: int) -> Tensor:
    """Keys or values for every head, from those that a group of heads shares, heads on axis 1."""
    return shared if shared.shape[1] == n_heads else shared.repeat_interleave(n_heads // shared.shape[1], 1)
