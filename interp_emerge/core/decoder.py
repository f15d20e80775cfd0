"""A decoder as the analyses read it: every norm, projection, head and MLP as a function that can be run by itself.

`families` builds a `Decoder` over the parameters of a Hugging Face model and proves on every model that it computes the
model's own logits. Running the parts by hand is what lets an analysis start at any layer and position, give each reader
an input of its own, and split what a block adds among its heads, with no hook on the model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, softmax

from interp_emerge.core.axes import HeadVectors, KeyValueVectors, Residual, Tokens
from interp_emerge.core.graph import Graph

Wired = TypeVar("Wired")
Prove = Callable[[Tensor, Tensor], None]
"""From prompts and the streams behind the last block at their last position to an error, unless the model agrees."""


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
class LinearMap:
    """A module that maps x to x Wᵀ + b, with the W and b that it really applies.

    `measured` holds them where the module computes more than its own weight says: an adapter, a quantised or pruned
    layer, a hook. `families` measures them and proves on every module that they give its output.
    """

    module: nn.Module
    measured: tuple[Tensor, Tensor | None] | None = None
    factor: float = 1.0
    """What the model multiplies the module's output with before it enters the stream."""

    def __call__(self, x: Tensor) -> Tensor:
        made = self.module(x)
        return made if self.factor == 1 else made * self.factor

    def weight(self) -> Float[Tensor, "output input"]:
        """W: the module's own parameter, or a view of it, where it says all."""
        weight = output_by_input(self.module) if self.measured is None else self.measured[0]
        return weight if self.factor == 1 else weight * self.factor

    def bias(self) -> Float[Tensor, " output"] | None:
        """b, None where there is none."""
        bias = getattr(self.module, "bias", None) if self.measured is None else self.measured[1]
        return bias if bias is None or self.factor == 1 else bias * self.factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """The part of a linear map that makes the queries, keys or values; several may share one fused map."""

    linear: LinearMap
    shape: tuple[int, ...]
    """How the map's outputs unfold: heads × d_head, with more axes where queries, keys and values are fused."""
    place: tuple[int | slice, ...] = ()
    """Where this projection's heads lie in what is unfolded; axes that are left before the last one count heads."""

    @cached_property
    def n_heads(self) -> int:
        return len(self.heads_of(torch.empty(prod(self.shape)), 0))

    def heads_of(self, values: Tensor, dim: int = -1) -> Tensor:
        """The map's output, unfolded along `dim` into this projection's heads and their features."""
        dim %= values.ndim
        unfolded = values.unflatten(dim, self.shape)[(slice(None),) * dim + self.place]
        left = unfolded.ndim - values.ndim
        return unfolded if left == 1 else unfolded.flatten(dim, dim + left - 1)

    def weight(self) -> Float[Tensor, "head d_head d_model"]:
        return self.heads_of(self.linear.weight(), 0)

    def bias(self) -> Float[Tensor, "head d_head"] | None:
        bias = self.linear.bias()
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
    """Cosines and sines at the positions of a prompt of some length, shape [pos, feature] each."""
    neighbours: bool = False
    """Whether rotation turns each feature with the next one, and not with that half of the features further on."""
    slopes: Float[Tensor, " head"] | None = None
    """What each head's score loses for each position that a key lies further back (Press et al., 2022)."""
    unseen: Callable[[int], Tensor | None] | None = None
    """Which keys each query of a prompt of some length does not see, bool, shape [query, key]; None: the later ones."""
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
        turned = (turned * cos + self._quarter_turn(turned) * sin).to(x.dtype)
        return torch.cat([turned, rest], -1) if rest.shape[-1] else turned

    def _quarter_turn(self, x: Tensor) -> Tensor:
        if self.neighbours:
            return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def _bias(self, n_queries: int, length: int, device: torch.device) -> Tensor:
        keys = torch.arange(length, device=device)
        back = keys[length - n_queries :, None] - keys
        unseen = None if self.unseen is None else self.unseen(length)
        unseen = back < 0 if unseen is None else unseen[length - n_queries :].to(device)
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
    attention_out: LinearMap
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

    def run(self, stream: Residual) -> Residual:
        """The stream behind the block, from that before it."""
        z = self.attention.mix(*self.project(self.attention_norm(stream)))
        attended = stream + self.attention_writes(z)
        return attended + self.mlp_writes(self.mlp_reads(stream, attended))

    def mlp_reads(self, stream: Wired, attended: Wired) -> Wired:
        """The one of two that the MLP reads: the stream before the block, or that with attention in it.

        Anything that belongs to one of the two streams may stand for it, such as its name or its number.
        """
        return stream if self.parallel else attended

    def mlp_behind(self, attended: Residual, recorded: Residual) -> Residual:
        """What the MLP adds where only attention wrote something else: as recorded, if it does not read that."""
        return recorded if self.parallel else self.mlp_writes(attended)

    def project(self, normed: Tensor) -> tuple[HeadVectors, KeyValueVectors, KeyValueVectors]:
        """Queries, keys and values from the attention norm's output, shape [row, pos, head, d_head] each."""
        made = {linear: linear(normed) for linear in dict.fromkeys((self.q.linear, self.k.linear, self.v.linear))}
        q, k, v = (side.heads_of(made[side.linear]) for side in (self.q, self.k, self.v))
        return q, k, v

    def project_one(self, side: Projection, normed: Float[Tensor, "... d_model"]) -> Float[Tensor, "... head d_head"]:
        """The queries, keys or values alone, also where one module makes all three."""
        weight, bias = side.weight(), side.bias()
        return linear(normed, weight.flatten(0, 1), None if bias is None else bias.flatten()).unflatten(
            -1, weight.shape[:2]
        )

    def some_heads_write(self, z: Float[Tensor, "row pos some_head d_head"], heads: slice) -> Residual:
        """The sum of some heads' terms, before any norm behind attention, from their part of z."""
        weight = self.attention_out.weight().unflatten(1, (self.q.n_heads, -1))[:, heads]
        return linear(z.flatten(2), weight.flatten(1))

    def attention_writes(self, z: HeadVectors) -> Residual:
        """What attention adds to the stream: the sum of the heads' terms, and a bias that belongs to none."""
        return self.attention_post_norm(self.attention_out(z.flatten(2)))

    def head_writes(self, z: HeadVectors) -> Float[Tensor, "row pos head d_model"]:
        """What each head adds to the stream. Behind a norm, all heads share the scale that they have together."""
        weight = self.attention_out.weight().unflatten(1, z.shape[2:])
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
    prove: Prove
    """Raises a `ModelError` unless the model's own logits after some prompts are those of the streams that are given,
    shape [row, d_model], behind the last block at the last position."""
    prove_gradients: Callable[[], None] = lambda: None
    """Raises a `ModelError` unless the parts have gradients that say what a change would do."""
    lengths: Callable[[], set[int]] = set
    """Lengths of the prompts on which attention has been run."""

    @property
    def graph(self) -> Graph:
        """Writers, readers and edges; all blocks have one form."""
        first = self.blocks[0]
        parallel, joined, rescaled = first.form
        return Graph(
            n_layers=len(self.blocks),
            n_heads=first.q.n_heads,
            n_kv_heads=first.k.n_heads,
            parallel=parallel,
            joined=joined,
            rescaled=rescaled,
        )

    def run(self, tokens: Tokens) -> Residual:
        """The residual stream after the last block, of whole prompts."""
        stream = self.embed(tokens)
        for block in self.blocks:
            stream = block.run(stream)
        return stream

    def logits(
        self, stream: Float[Tensor, "... d_model"], tokens: Int[Tensor, "... token"] | None = None
    ) -> Float[Tensor, "... token"]:
        """Next-token logits from the residual stream after the last block: of all tokens, or of some for each place."""
        return self.unembed(self.final_norm(stream), tokens)


@contextmanager
def only_running(module: nn.Module, *, parameters: bool = True) -> Iterator[None]:
    """While open, the module is in evaluation mode, no parameter asks for a gradient, and outputs are named.

    Then all is as before. `parameters=False` leaves the parameters alone: see `HookedModel.logits_in_chunks`.
    """
    asked = [parameter for parameter in module.parameters() if parameter.requires_grad] if parameters else []
    training = [part for part in module.modules() if part.training]
    config: Any = getattr(module, "config", None)
    as_tuples = getattr(config, "return_dict", True) is False
    try:
        if as_tuples:
            config.return_dict = True
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
        if as_tuples:
            config.return_dict = False


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
