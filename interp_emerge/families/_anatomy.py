"""Where each architecture keeps its norms, projections, heads and MLPs.

A layout is chosen by the names of a model's modules, not by the name of the model, and is then proven on the model
itself: the decoder that is made of its parts has to compute the logits that the model computes. What has another
structure, or fails the proof, is refused with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.decoder import Attention, Block, Decoder, Norm, Projection
from interp_emerge.core.errors import ModelError
from interp_emerge.families._proof import (
    not_split,
    require_equal_logits,
    require_linear_once_scaled,
    require_same_shape,
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names of modules, below the model or below a block; "" where there is none."""

    blocks: str
    final_norm: str
    attention: str = "self_attn"
    attention_norm: str = "input_layernorm"
    attention_out: str = "o_proj"
    attention_post_norm: str = ""
    mlp: str = "mlp"
    mlp_norm: str = "post_attention_layernorm"
    mlp_post_norm: str = ""
    fused: str = ""
    """The module that makes queries, keys and values, where one makes them all."""
    fused_by_head: bool = False
    """Whether a fused output holds each head's query, key and value together, not all queries first."""

    def names(self) -> list[str]:
        """Modules that every block has to have."""
        projections = [self.fused] if self.fused else ["q_proj", "k_proj", "v_proj"]
        mlp = ["fc1", "fc2"] if self.mlp == "" else [self.mlp]
        inside = [f"{self.attention}.{name}" for name in (*projections, self.attention_out)]
        norms = (self.attention_norm, self.attention_post_norm, self.mlp_norm, self.mlp_post_norm)
        return [*inside, *mlp, *(name for name in norms if name)]


_LLAMA = Layout(blocks="model.layers", final_norm="model.norm")
_GPT2 = Layout(
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    attention="attn",
    attention_norm="ln_1",
    attention_out="c_proj",
    mlp_norm="ln_2",
    fused="c_attn",
)
_NEOX = Layout(
    blocks="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    attention="attention",
    attention_out="dense",
    fused="query_key_value",
    fused_by_head=True,
)
LAYOUTS: dict[str, Layout] = {
    "norms before and after (Gemma 2, Gemma 3)": replace(
        _LLAMA,
        attention_post_norm="post_attention_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        mlp_post_norm="post_feedforward_layernorm",
    ),
    "norms after (OLMo 2)": replace(
        _LLAMA,
        attention_norm="",
        attention_post_norm="post_attention_layernorm",
        mlp_norm="",
        mlp_post_norm="post_feedforward_layernorm",
    ),
    "norms before (Llama, Mistral, Qwen, OLMo)": _LLAMA,
    "one norm for attention and MLP (Phi)": replace(
        _LLAMA, final_norm="model.final_layernorm", attention_out="dense", mlp_norm="input_layernorm"
    ),
    "GPT-NeoX": _NEOX,
    "BLOOM": replace(_NEOX, blocks="transformer.h", final_norm="transformer.ln_f", attention="self_attention"),
    "GPT-2": _GPT2,
    "GPT-Neo": replace(_GPT2, attention="attn.attention", attention_out="out_proj", fused=""),
    "OPT": Layout(
        blocks="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        attention_norm="self_attn_layer_norm",
        attention_out="out_proj",
        mlp="",
        mlp_norm="final_layer_norm",
    ),
}
"""Layouts by the kind of block that they describe; of two that fit, the first counts."""


def find_decoder(hf: Any) -> Decoder:
    """The parts of a Hugging Face causal language model, proven to compute what it computes.

    Raises:
        ModelError: no layout fits, or the parts do not add up to the model.
    """
    _require_plain_stream(hf)
    layout = next((layout for layout in LAYOUTS.values() if _fits(hf, layout)), None)
    if layout is None:
        raise not_split(hf, f"its blocks have none of the known forms ({'; '.join(LAYOUTS)})")
    blocks = [_block(hf, index, block, layout) for index, block in enumerate(_find(hf, layout.blocks).children())]
    decoder = Decoder(
        embed=lambda tokens: _input_of(hf, _find(hf, layout.blocks)[0], tokens),
        blocks=tuple(blocks),
        final_norm=_norm(_find(hf, layout.final_norm)),
        unembed=_unembedding(hf),
    )
    require_same_shape(hf, decoder)
    try:
        require_equal_logits(hf, decoder)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise not_split(hf, f"its parts do not run by themselves ({' '.join(str(error).split())})") from error
    return decoder


def _require_plain_stream(hf: Any) -> None:
    """Raise a `ModelError` if blocks do more to the residual stream than add to it."""
    config = hf.config
    normed = getattr(config, "apply_residual_connection_post_layernorm", False)  # BLOOM
    normed = normed or not getattr(config, "do_layer_norm_before", True)  # OPT-350m
    multiplier = getattr(config, "residual_multiplier", 1.0)  # Granite
    if normed or multiplier != 1.0:
        done = "goes through a norm in every block" if normed else f"is given {multiplier} times what a block makes"
        raise not_split(hf, f"its residual stream {done}")


def _unembedding(hf: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
    head, softcap = hf.get_output_embeddings(), getattr(hf.config, "final_logit_softcapping", None)
    narrow, bias = _find(hf, "model.decoder.project_out"), getattr(head, "bias", None)

    def unembed(normed: Tensor, tokens: Tensor | None) -> Tensor:
        normed = normed if narrow is None else narrow(normed)
        if tokens is None:
            logits = head(normed)
        else:
            logits = torch.einsum("...d,...kd->...k", normed, head.weight[tokens])
            logits = logits if bias is None else logits + bias[tokens]
        return logits if softcap is None else (logits / softcap).tanh() * softcap

    return unembed


def _fits(hf: nn.Module, layout: Layout) -> bool:
    blocks = _find(hf, layout.blocks)
    if blocks is None or _find(hf, layout.final_norm) is None:
        return False
    return all(_find(block, name) is not None for block in blocks.children() for name in layout.names())


def _block(hf: Any, index: int, block: Any, layout: Layout) -> Block:
    config, attention = hf.config, _find(block, layout.attention)
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    out, post_norm = _find(attention, layout.attention_out), _norm(_find(block, layout.attention_post_norm))
    if post_norm.module is not None and getattr(out, "bias", None) is not None:
        raise not_split(hf, "a norm after attention scales an output bias that belongs to no head")
    q, k, v = _projections(attention, layout, heads, kv_heads)
    return Block(
        attention_norm=_norm(_find(block, layout.attention_norm)),
        q=q,
        k=k,
        v=v,
        attention=_attention(hf, index, attention, heads),
        attention_out=out,
        attention_post_norm=post_norm,
        mlp_norm=_norm(_find(block, layout.mlp_norm)),
        mlp=_mlp(block, layout),
        mlp_post_norm=_norm(_find(block, layout.mlp_post_norm)),
        parallel=layout.mlp_norm == layout.attention_norm != "" or getattr(block, "use_parallel_residual", False),
    )


def _projections(attention: Any, layout: Layout, heads: int, kv_heads: int) -> list[Projection]:
    if not layout.fused:
        named = zip(("q_proj", "k_proj", "v_proj"), (heads, kv_heads, kv_heads), strict=True)
        modules = [(getattr(attention, name), n) for name, n in named]
        return [Projection(module=module, shape=(n, _n_outputs(module) // n)) for module, n in modules]
    module = getattr(attention, layout.fused)
    d_head = _n_outputs(module) // (3 * heads)
    shape, axis = ((heads, 3, d_head), 1) if layout.fused_by_head else ((3, heads, d_head), 0)
    return [Projection(module=module, shape=shape, axis=axis, part=part) for part in range(3)]


def _attention(hf: Any, index: int, module: Any, heads: int) -> Attention:
    config, kind = hf.config, hf.config.model_type
    query_norm = getattr(module, "q_norm", getattr(module, "q_layernorm", None))
    key_norm = getattr(module, "k_norm", getattr(module, "k_layernorm", None))
    d_head = getattr(module, "head_dim", None) or config.hidden_size // heads
    width = getattr(query_norm, "weight", None)
    window = getattr(module, "sliding_window", getattr(config, "sliding_window", None))
    if kind == "gpt_neo":
        window = config.window_size if module.attention_type == "local" else None
    return Attention(
        scale=1.0 if kind == "gpt_neo" else getattr(module, "scaling", d_head**-0.5),
        query_norm=query_norm,
        key_norm=key_norm,
        joins_heads=width is not None and width.numel() > d_head,
        rotary=_rotary(hf, index) if getattr(module, "use_rope", True) else None,
        slopes=_alibi_slopes(heads) if kind == "bloom" else None,
        window=window,
        softcap=getattr(module, "attn_logit_softcapping", None),
        clip=getattr(config, "clip_qkv", None),
    )


def _rotary(hf: Any, index: int) -> Callable[[int], tuple[Tensor, Tensor]] | None:
    module = getattr(hf.base_model, "rotary_emb", None)
    if module is None:
        return None
    by_layer_type = "layer_type" in signature(module.forward).parameters
    more = (hf.config.layer_types[index],) if by_layer_type else ()

    @lru_cache(maxsize=4)
    def turns(length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            like = torch.empty(0, dtype=dtype, device=device)
            cos, sin = module(like, torch.arange(length, device=device)[None], *more)
        return cos[0], sin[0]

    return lambda length: turns(length, hf.dtype, hf.device)


def _alibi_slopes(heads: int) -> Tensor:
    """Slopes of Press et al. (2022, https://arxiv.org/abs/2108.12409): a geometric series, filled up between powers."""
    power = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes)


def _mlp(block: Any, layout: Layout) -> Callable[[Tensor], Tensor]:
    if layout.mlp == "":
        return lambda normed: block.fc2(block.activation_fn(block.fc1(normed)))
    module = _find(block, layout.mlp)
    if "residual" in signature(module.forward).parameters:
        return lambda normed: module(normed, torch.zeros_like(normed))

    def run(normed: Tensor) -> Tensor:
        made = module(normed)
        return made if isinstance(made, Tensor) else made[0]

    return run


def _norm(module: nn.Module | None) -> Norm:
    if module is None or isinstance(module, nn.Identity):
        return Norm(module=None)
    centred = type(module).__name__.endswith("LayerNorm")
    eps = getattr(module, "eps", getattr(module, "variance_epsilon", 1e-5))
    norm = Norm(module=module, centred=centred, eps=eps)
    require_linear_once_scaled(norm)
    return norm


def _input_of(hf: Any, block: nn.Module, tokens: Tensor) -> Tensor:
    """What the first block is given: the embeddings, with all that the model does to them."""
    seen: list[Tensor] = []

    def stop(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])
        raise _ReachedError

    handle = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        hf.base_model(input_ids=tokens.to(hf.device), use_cache=False)
    except _ReachedError:
        return seen[0]
    finally:
        handle.remove()
    raise ModelError(f"{hf.config.model_type!r} ran without its first block")


class _ReachedError(Exception):
    """The first block was reached, and the rest of the model need not run."""


def _n_outputs(module: Any) -> int:
    return int(module.weight.shape[1] if type(module).__name__ == "Conv1D" else module.weight.shape[0])


def _find(module: Any, name: str) -> Any:
    """The module of a name, or None where there is none."""
    for part in name.split(".") if name else ():
        module = getattr(module, part, None)
    return module if name else None
