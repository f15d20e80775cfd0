"""A decoder in parts: every norm, projection, head and MLP is a function that can be run separately.

`families` builds a `Decoder` over the parameters of a Hugging Face model and proves on every model that it computes the
model's own logits. Because the parts run separately, an analysis can start at any layer and position, give each reader
its own input, and split the output of a block among its heads, without hooks on the model.
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

Stream = TypeVar("Stream")
Prove = Callable[[Tensor, Tensor], None]
"""Takes prompts and the streams after the last block at their last position; raises an error unless the model's own
logits are those of the streams."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Norm:
    """A layer norm or root-mean-square norm, and the linear map that it becomes once its scale is fixed."""

    module: nn.Module | None
    """None means that there is no norm."""
    centred: bool = False
    eps: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        return x if self.module is None else self.module(x)

    @cached_property
    def gain(self) -> Tensor | None:
        """The factor of each feature, in float32, shape [d_model]; None if there is none."""
        weight = getattr(self.module, "weight", None)
        if self.module is None or weight is None:
            return None
        if self.centred:
            return _wide(weight.detach())
        # Some norms multiply by the weight and some by one plus the weight: the norm of a vector of ones shows which.
        return _wide(self.module(torch.ones_like(weight)).detach()) * (1 + self.eps) ** 0.5

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        """The factor by which the norm scales `x`: 1 / root mean square, after centring if the norm centres."""
        x = self._centre(_wide(x))
        return (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()

    def linear(self, part: Tensor, scale: Tensor) -> Tensor:
        """The contribution of a part of the norm's input to its output, at a fixed scale.

        Parts that sum to the input have contributions that sum to the output without its bias.
        """
        if self.module is None:
            return part
        out = self._centre(_wide(part)) * scale
        return (out if self.gain is None else out * self.gain).to(part.dtype)

    def pull_back(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Gradient at the input `x` from the gradient at the output. All axes but the last broadcast."""
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

    `measured` holds W and b where the module's own weight does not give its output: in an adapter, in a quantised or
    pruned layer, or under a hook. `families` measures them and proves on every module that they give its output.
    """

    module: nn.Module
    measured: tuple[Tensor, Tensor | None] | None = None
    factor: float = 1.0
    """Factor by which the model multiplies the module's output before it enters the stream."""

    def __call__(self, x: Tensor) -> Tensor:
        output = self.module(x)
        return output if self.factor == 1 else output * self.factor

    def weight(self) -> Float[Tensor, "output input"]:
        """W: the module's own parameter, or a view of it, unless W was measured."""
        weight = output_by_input(self.module) if self.measured is None else self.measured[0]
        return weight if self.factor == 1 else weight * self.factor

    def bias(self) -> Float[Tensor, " output"] | None:
        """b, or None if there is none."""
        bias = getattr(self.module, "bias", None) if self.measured is None else self.measured[1]
        return bias if bias is None or self.factor == 1 else bias * self.factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """The part of a linear map that makes the queries, keys or values; several may share one fused map."""

    linear: LinearMap
    shape: tuple[int, ...]
    """Axes into which the map's outputs unfold: heads × d_head, and more where queries, keys and values are fused."""
    place: tuple[int | slice, ...] = ()
    """Index of this projection's heads in the unfolded outputs. All axes that are left but the last one count heads."""

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
    """The step from queries, keys and values to the heads' outputs."""

    scale: float
    query_norm: nn.Module | None = None
    key_norm: nn.Module | None = None
    joins_heads: bool = False
    """Whether these norms run over all heads at once, so that one head's query or key changes every head's."""
    rotary: Callable[[int], tuple[Tensor, Tensor]] | None = None
    """From the length of a prompt to the cosines and sines at its positions, shape [pos, feature] each."""
    neighbours: bool = False
    """Whether rotation pairs each feature with the next one; if not, with the one half of all features further on."""
    slopes: Float[Tensor, " head"] | None = None
    """By how much each head's score falls for each position between query and key (Press et al., 2022)."""
    unseen: Callable[[int], Tensor | None] | None = None
    """From the length of a prompt to the keys that each query does not see, bool, shape [query, key]; None means the
    later keys."""
    softcap: float | None = None
    clip: float | None = None

    def mix(self, q: HeadVectors, k: KeyValueVectors, v: KeyValueVectors) -> HeadVectors:
        """Each head's output before the output projection, from the outputs of the query, key and value projections.

        Keys and values are given for all positions, queries for any number of the last ones.
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
        """The values, averaged with the weights of a pattern."""
        return (pattern @ _for_heads(self._clipped(v).transpose(1, 2), pattern.shape[1])).transpose(1, 2)

    def _scored(self, q: Tensor, k: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Queries and keys, ready to be multiplied, and what is added to the scores."""
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
        bias = torch.zeros(back.shape, dtype=torch.float32, device=device).masked_fill(unseen, -torch.inf)
        return bias if self.slopes is None else bias - self.slopes.to(device)[:, None, None] * back


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """One layer. Attention and MLP each read the residual stream through a norm and add to it.

    In some architectures a second norm follows each of them.
    """

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
        """The flags `parallel`, `joined` and `rescaled` of `Graph`."""
        return self.parallel, self.attention.joins_heads, self.attention_post_norm.module is not None

    def run(self, stream: Residual) -> Residual:
        """The stream after the block, from the stream before it."""
        z = self.attention.mix(*self.project(self.attention_norm(stream)))
        attended = stream + self.attention_writes(z)
        return attended + self.mlp_writes(self.mlp_reads(stream, attended))

    def mlp_reads(self, stream: Stream, attended: Stream) -> Stream:
        """The stream that the MLP reads: `stream`, before the block, or `attended`, after attention has written.

        The two may also be names or numbers of these streams.
        """
        return stream if self.parallel else attended

    def mlp_after_attention(self, attended: Residual, recorded: Residual) -> Residual:
        """What the MLP adds after a change of attention's output; its recorded output if it does not read attention."""
        return recorded if self.parallel else self.mlp_writes(attended)

    def project(self, normed: Tensor) -> tuple[HeadVectors, KeyValueVectors, KeyValueVectors]:
        """Queries, keys and values from the attention norm's output, shape [row, pos, head, d_head] each."""
        outputs = {linear: linear(normed) for linear in dict.fromkeys((self.q.linear, self.k.linear, self.v.linear))}
        q, k, v = (side.heads_of(outputs[side.linear]) for side in (self.q, self.k, self.v))
        return q, k, v

    def project_one(self, side: Projection, normed: Float[Tensor, "... d_model"]) -> Float[Tensor, "... head d_head"]:
        """Only the queries, the keys or the values, even where one module computes all three."""
        weight, bias = side.weight(), side.bias()
        return linear(normed, weight.flatten(0, 1), None if bias is None else bias.flatten()).unflatten(
            -1, weight.shape[:2]
        )

    def some_heads_write(self, z: Float[Tensor, "row pos some_head d_head"], heads: slice) -> Residual:
        """The sum of some heads' outputs, before any norm after attention, from their part of z."""
        weight = self.attention_out.weight().unflatten(1, (self.q.n_heads, -1))[:, heads]
        return linear(z.flatten(2), weight.flatten(1))

    def attention_writes(self, z: HeadVectors) -> Residual:
        """What attention adds to the stream: the sum of the heads' outputs, and a bias that belongs to no head."""
        return self.attention_post_norm(self.attention_out(z.flatten(2)))

    def head_writes(self, z: HeadVectors) -> Float[Tensor, "row pos head d_model"]:
        """What each head adds to the stream. A norm after attention scales all heads by one common factor."""
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
    """The embedding, all blocks, the final norm and the unembedding."""

    embed: Callable[[Tokens], Residual]
    blocks: tuple[Block, ...]
    final_norm: Norm
    unembed: Callable[[Tensor, Tensor | None], Tensor]
    """From the final norm's output to the logits of all tokens, or of the given ones: by place, or, if they are given
    along one axis only, the same ones everywhere."""
    prove: Prove
    """Raises a `ModelError` unless the model's own logits after some prompts are those of the given streams after the
    last block at the last position, shape [row, d_model]."""
    prove_gradients: Callable[[], None] = lambda: None
    """Raises a `ModelError` unless gradients of the parts predict the effect of a small change."""
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
        """The residual stream after the last block, at every position."""
        stream = self.embed(tokens)
        for block in self.blocks:
            stream = block.run(stream)
        return stream

    def logits(
        self, stream: Float[Tensor, "... d_model"], tokens: Int[Tensor, "... token"] | None = None
    ) -> Float[Tensor, "... token"]:
        """Next-token logits from the residual stream after the last block: of all tokens, or of given ones by place."""
        return self.unembed(self.final_norm(stream), tokens)


@contextmanager
def only_running(module: nn.Module, *, parameters: bool = True) -> Iterator[None]:
    """While open, the module is in evaluation mode, its parameters require no gradient, and its outputs have names.

    Afterwards everything is as before. With `parameters=False`, parameters are left as they are: see
    `HookedModel.logits_in_chunks`.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad] if parameters else []
    training = [part for part in module.modules() if part.training]
    config: Any = getattr(module, "config", None)
    as_tuples = getattr(config, "return_dict", True) is False
    try:
        if as_tuples:
            config.return_dict = True
        for parameter in trainable:
            parameter.requires_grad_(False)
        for part in training:
            part.training = False
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for part in training:
            part.training = True
        if as_tuples:
            config.return_dict = False


def output_by_input(module: nn.Module) -> Float[Tensor, "output input"]:
    """A linear module's weight, shape [output, input]; GPT-2's `Conv1D` layers store it transposed."""
    weight = module.get_parameter("weight")
    return weight.T if type(module).__name__ == "Conv1D" else weight


def _wide(values: Tensor) -> Tensor:
    """Values in float32 at least: half precision loses small differences, and scores are small differences."""
    return values if values.dtype == torch.float64 else values.float()


def _for_heads(shared: Tensor, n_heads: int) -> Tensor:
    """Keys or values, repeated for each head of the group that shares them, heads on axis 1."""
    return shared if shared.shape[1] == n_heads else shared.repeat_interleave(n_heads // shared.shape[1], 1)
