"""Where each architecture keeps its norms, projections and heads.

A layout is listed only if the residual stream is exactly the sum of the embedding, the heads, the MLPs and biases: the
tests prove it on a small model of each. What is not listed is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_emerge.core.errors import ModelError
from interp_emerge.core.model import Anatomy, Block, Projection


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Module names of one architecture; `projections` finds the queries, keys and values of an attention module."""

    blocks: str
    final_norm: str
    attention: str
    attention_norm: str
    attention_out: str
    mlp: str
    mlp_norm: str
    projections: Callable[[nn.Module, int, int, int], tuple[Projection, ...]]


def find_anatomy(hf: nn.Module) -> Anatomy:
    """The parts of a Hugging Face causal language model.

    Raises:
        ModelError: no layout is known that splits this architecture exactly.
    """
    config: Any = hf.config
    layout = LAYOUTS.get(config.model_type)
    if layout is None:
        raise ModelError(f"{config.model_type!r} is not split into heads and edges yet (known: "
                         f"{', '.join(sorted(LAYOUTS))}); measuring abilities and `.bridge` work with it")  # fmt: skip
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    blocks = hf.get_submodule(layout.blocks).children()
    return Anatomy(
        blocks=tuple(_block(block, layout, (heads, kv_heads, d_head)) for block in blocks),
        final_norm=hf.get_submodule(layout.final_norm),
    )


def _block(block: nn.Module, layout: Layout, shape: tuple[int, int, int]) -> Block:
    attention = block.get_submodule(layout.attention)
    q, k, v = layout.projections(attention, *shape)
    return Block(
        module=block,
        attention=attention,
        attention_norm=block.get_submodule(layout.attention_norm),
        q=q,
        k=k,
        v=v,
        attention_out=attention.get_submodule(layout.attention_out),
        mlp_norm=block.get_submodule(layout.mlp_norm),
        mlp=block.get_submodule(layout.mlp),
    )


def _fused_by_head(attention: nn.Module, heads: int, _kv: int, d_head: int) -> tuple[Projection, ...]:
    """One projection whose output holds, head by head, its query, key and value."""
    features = torch.arange(3 * heads * d_head).unflatten(0, (heads, 3, d_head))
    module = attention.get_submodule("query_key_value")
    return tuple(Projection(module=module, features=features[:, part]) for part in range(3))


def _fused_by_part(attention: nn.Module, heads: int, _kv: int, d_head: int) -> tuple[Projection, ...]:
    """One projection whose output holds all queries, then all keys, then all values."""
    features = torch.arange(3 * heads * d_head).unflatten(0, (3, heads, d_head))
    module = attention.get_submodule("c_attn")
    return tuple(Projection(module=module, features=features[part]) for part in range(3))


def _separate(attention: nn.Module, heads: int, kv_heads: int, d_head: int) -> tuple[Projection, ...]:
    """Three projections; keys and values may have fewer heads than queries."""
    counts = {"q_proj": heads, "k_proj": kv_heads, "v_proj": kv_heads}
    return tuple(
        Projection(module=attention.get_submodule(name), features=torch.arange(n * d_head).unflatten(0, (n, d_head)))
        for name, n in counts.items()
    )


_LLAMA = Layout(
    blocks="model.layers",
    final_norm="model.norm",
    attention="self_attn",
    attention_norm="input_layernorm",
    attention_out="o_proj",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    projections=_separate,
)

LAYOUTS: dict[str, Layout] = {
    "gpt_neox": Layout(
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        attention="attention",
        attention_norm="input_layernorm",
        attention_out="dense",
        mlp="mlp",
        mlp_norm="post_attention_layernorm",
        projections=_fused_by_head,
    ),
    "gpt2": Layout(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        attention="attn",
        attention_norm="ln_1",
        attention_out="c_proj",
        mlp="mlp",
        mlp_norm="ln_2",
        projections=_fused_by_part,
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
