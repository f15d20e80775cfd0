"""The names of the modules that hold each architecture's norms, projections, heads and MLPs.

To support an architecture whose blocks have a known form under other names, add a layout. Layouts are not trusted: the
reading of every model is proven on the model itself.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names of modules inside the model or inside a block; "" if there is no such module."""

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
    """The module that computes queries, keys and values together, if there is one."""

    def names(self) -> list[str]:
        """Names of the modules that every block must have."""
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
)
_FALCON = replace(_NEOX, blocks="transformer.h", final_norm="transformer.ln_f", attention="self_attention")
_OPT = Layout(
    blocks="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    attention_norm="self_attn_layer_norm",
    attention_out="out_proj",
    mlp="",
    mlp_norm="final_layer_norm",
)
LAYOUTS: dict[str, Layout] = {
    "norms before and after (Gemma 2, Gemma 3)": replace(
        _LLAMA,
        attention_post_norm="post_attention_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        mlp_post_norm="post_feedforward_layernorm",
    ),
    "norms before and after (GLM 4)": replace(
        _LLAMA,
        attention_post_norm="post_self_attn_layernorm",
        mlp_post_norm="post_mlp_layernorm",
    ),
    "norms before (VaultGemma)": replace(_LLAMA, mlp_norm="pre_feedforward_layernorm"),
    "norms before (Apertus)": replace(_LLAMA, attention_norm="attention_layernorm", mlp_norm="feedforward_layernorm"),
    "norms after (OLMo 2)": replace(
        _LLAMA,
        attention_norm="",
        attention_post_norm="post_attention_layernorm",
        mlp_norm="",
        mlp_post_norm="post_feedforward_layernorm",
    ),
    "norms before (Llama, Mistral, Qwen, OLMo)": _LLAMA,
    "norms before, fused (Phi-3)": replace(_LLAMA, fused="qkv_proj"),
    "norms before, fused (Persimmon)": replace(
        _LLAMA, final_norm="model.final_layernorm", attention_out="dense", fused="query_key_value"
    ),
    "one norm for attention and MLP (Cohere)": replace(_LLAMA, mlp_norm="input_layernorm"),
    "one norm for attention and MLP (Phi)": replace(
        _LLAMA, final_norm="model.final_layernorm", attention_out="dense", mlp_norm="input_layernorm"
    ),
    "GPT-NeoX": _NEOX,
    "BLOOM": _FALCON,
    "GPT-2": _GPT2,
    "GPT-Neo": replace(_GPT2, attention="attn.attention", attention_out="out_proj", fused=""),
    "OPT": _OPT,
    "mBART": replace(_OPT, final_norm="model.decoder.layer_norm"),
    "XGLM": replace(_OPT, blocks="model.layers", final_norm="model.layer_norm"),
    "BioGPT": replace(_OPT, blocks="biogpt.layers", final_norm="biogpt.layer_norm"),
    "GPT-J": replace(_GPT2, attention_out="out_proj", mlp_norm="ln_1", fused=""),
    "CodeGen": replace(_GPT2, attention_out="out_proj", mlp_norm="ln_1", fused="qkv_proj"),
    "Falcon, two norms": replace(_FALCON, attention_norm="ln_attn", mlp_norm="ln_mlp"),
    "Falcon, one norm": replace(_FALCON, mlp_norm="input_layernorm"),
    "MPT": Layout(
        blocks="transformer.blocks",
        final_norm="transformer.norm_f",
        attention="attn",
        attention_norm="norm_1",
        attention_out="out_proj",
        mlp="ffn",
        mlp_norm="norm_2",
        fused="Wqkv",
    ),
}
"""Layouts by the kind of block that they describe; the first one that fits is used."""


def fits(hf: nn.Module, layout: Layout) -> bool:
    """Whether a model has all modules that a layout names."""
    blocks = find(hf, layout.blocks)
    if blocks is None or find(hf, layout.final_norm) is None:
        return False
    return all(find(block, name) is not None for block in blocks.children() for name in layout.names())


def find(module: Any, name: str) -> Any:
    """The module with a dotted name, or None without one."""
    for part in name.split(".") if name else ():
        module = getattr(module, part, None)
    return module if name else None
