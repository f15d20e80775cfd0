"""Read how a block's projections hold queries, keys and values, and what its attention does with them.

Names of modules do not determine everything. `arrangements` and `variants` list the possibilities among the known
architectures, and the reading that gives the model's own numbers is used.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from interp_emerge.core.decoder import Attention, LinearMap, Projection
from interp_emerge.families._split.handed import HandedParts
from interp_emerge.families._split.layouts import Layout
from interp_emerge.families._split.linear import linear_map

Sides = tuple[Projection, Projection, Projection]
"""Queries, keys and values."""
ALIBI = ("bloom", "mpt")
"""Types of model whose scores fall with distance, regardless of their blocks' arguments."""


def arrangements(hf: Any, module: Any, layout: Layout, heads: int) -> Iterator[Sides]:
    """The orders in which a module's projections may hold the heads, the usual one first."""
    if not layout.fused:
        q, k, v = (linear_map(hf, getattr(module, name)) for name in ("q_proj", "k_proj", "v_proj"))
        d_head = _n_outputs(q) // heads
        kv_heads = max(1, _n_outputs(k) // d_head)
        counts = zip((q, k, v), (heads, kv_heads, kv_heads), strict=True)
        yield _sides(Projection(linear=linear, shape=(n, _n_outputs(linear) // n)) for linear, n in counts)
        return
    linear = linear_map(hf, getattr(module, layout.fused))
    n, cut = _n_outputs(linear), partial(_cut, linear)
    d_head = getattr(module, "head_dim", None) or hf.config.hidden_size // heads
    if n == 3 * heads * d_head:
        by_part, by_head = (
            cut((3, heads, d_head), (0, 1, 2)),
            cut((heads, 3, d_head), *[(slice(None), i) for i in range(3)]),
        )
        yield from (by_part, by_head) if layout.fused in ("c_attn", "Wqkv", "qkv_proj") else (by_head, by_part)
        if heads % 4 == 0:
            yield cut((4, 3, heads // 4, d_head), *[(slice(None), part) for part in (0, 2, 1)])
    kv_heads, left = divmod(n // d_head - heads, 2)
    if left or kv_heads < 1 or kv_heads == heads:
        return
    first, second = slice(heads, heads + kv_heads), slice(heads + kv_heads, None)
    yield cut((heads + 2 * kv_heads, d_head), slice(0, heads), first, second)
    group, left = divmod(heads, kv_heads)
    if not left:
        places = (slice(0, group), group, group + 1)
        yield cut((kv_heads, group + 2, d_head), *[(slice(None), place) for place in places])


def _cut(linear: LinearMap, shape: tuple[int, ...], *places: Any) -> Sides:
    """Queries, keys and values from one map, each from its place in the unfolded output."""
    places = places[0] if len(places) == 1 else places
    return _sides(
        Projection(linear=linear, shape=shape, place=place if isinstance(place, tuple) else (place,))
        for place in places
    )


def _sides(projections: Iterator[Projection]) -> Sides:
    q, k, v = projections
    return q, k, v


def read_attention(hf: Any, index: int, module: Any, heads: int, handed: HandedParts) -> Attention:
    """What happens between projections and heads' outputs, by the names and numbers of the modules."""
    config, kind = hf.config, hf.config.model_type
    query_norm = getattr(module, "q_norm", getattr(module, "q_layernorm", None))
    key_norm = getattr(module, "k_norm", getattr(module, "k_layernorm", None))
    d_head = getattr(module, "head_dim", None) or config.hidden_size // heads
    width = getattr(query_norm, "weight", None)
    unseen = partial(handed.unseen, index)
    if kind == "gpt_neo" and module.attention_type == "local":
        unseen = partial(_beyond_window, config.window_size)
    scale = getattr(module, "scaling", getattr(module, "softmax_scale", None)) or d_head**-0.5
    clipped = (
        getattr(module, "clip_qkv", None) if kind == "mpt" else config.clip_qkv if uses(module, "clip_qkv") else None
    )
    return Attention(
        scale=1.0 if kind == "gpt_neo" else float(scale),
        query_norm=query_norm,
        key_norm=key_norm,
        joins_heads=width is not None and width.ndim == 1 and width.numel() > d_head,
        rotary=_rotary(index, module, handed),
        neighbours=hasattr(module, "embed_positions"),
        slopes=_alibi_slopes(heads) if kind in ALIBI else None,
        unseen=unseen,
        softcap=getattr(module, "attn_logit_softcapping", None),
        clip=clipped,
    )


def variants(attention: Attention) -> Iterator[Attention]:
    """The attention, then the other ways in which it may use the rotation that it is given."""
    yield attention
    if attention.rotary is None:
        return
    yield replace(attention, rotary=None)
    yield replace(attention, neighbours=True)
    yield replace(attention, neighbours=True, rotary=partial(_spread, attention.rotary))


def _rotary(index: int, module: Any, handed: HandedParts) -> Callable[[int], tuple[Tensor, Tensor]] | None:
    if isinstance(getattr(module, "embed_positions", None), Tensor):
        return partial(_from_table, module)
    given = handed.at(1)[index].rotation is not None and getattr(module, "use_rope", True)
    return partial(handed.rotation, index) if given else None


def _from_table(module: Any, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of GPT-J. Its attention holds a table of sines, then cosines, one of each per two features."""
    sin, cos = (
        module.embed_positions[:length].to(next(module.parameters()).device).repeat_interleave(2, -1).chunk(2, -1)
    )
    return cos, sin


def _spread(rotary: Callable[[int], tuple[Tensor, Tensor]], length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines for neighbouring features, from a table whose second half repeats its first."""
    cos, sin = (part[..., : part.shape[-1] // 2].repeat_interleave(2, -1) for part in rotary(length))
    return cos, sin


def uses(thing: object, field: str) -> bool:
    """Whether a module's code reads a field of its configuration; a configuration may hold fields that are not used."""
    return _reads(type(thing), field)


@cache
def _reads(kind: type, field: str) -> bool:
    members = [
        member for one in kind.__mro__ if one.__module__.split(".")[0] != "torch" for member in vars(one).values()
    ]
    codes = [getattr(unwrap(member), "__code__", None) for member in members if callable(member)]
    return any(code is not None and field in code.co_names for code in codes)


def _beyond_window(window: int, length: int) -> Tensor:
    """True for later keys and for keys further back than a window reaches, shape [query, key]."""
    back = torch.arange(length)[:, None] - torch.arange(length)
    return (back < 0) | (back >= window)


def _alibi_slopes(heads: int) -> Tensor:
    """Slopes of Press et al. (2022, https://arxiv.org/abs/2108.12409): a geometric series.

    If the number of heads is not a power of two, the rest come from the series for the next power.
    """
    power = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes)


def _n_outputs(linear: LinearMap) -> int:
    return int(linear.weight().shape[0])
