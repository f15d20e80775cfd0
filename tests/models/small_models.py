"""Small untrained models of each architecture, and prompt pairs for them.

Every parameter is drawn, those of norms and biases too, so that nothing is right because a term is zero.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import interp_emerge as ie
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.model import HookedModel

VOCABULARY, WIDTH, HEADS, LAYERS = 40, 24, 4, 3
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
GROUPED = {"num_key_value_heads": 2}
WINDOW = {"sliding_window": 3}
SOFTCAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
MULTIPLIERS = {
    "embedding_multiplier": 1.5,
    "attention_multiplier": 0.3,
    "residual_multiplier": 0.6,
    "logits_scaling": 0.7,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": WIDTH, "norm_topk_prob": True}


def partly_rotary(share: float) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": share}}


CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", partly_rotary(0.5)),
    "gpt_neox_serial": ("gpt_neox", partly_rotary(0.5) | {"use_parallel_residual": False}),
    "gpt2": ("gpt2", NO_DROPOUT | {"n_inner": 2 * WIDTH}),
    "gpt_neo": ("gpt_neo", {"window_size": 3}),
    "opt": ("opt", {"ffn_dim": 2 * WIDTH, "dropout": 0.0}),
    "bloom": ("bloom", {}),
    "llama": ("llama", {}),
    "llama_grouped": ("llama", GROUPED),
    "mistral": ("mistral", GROUPED | WINDOW),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 8}),
    "gemma2": ("gemma2", GROUPED | WINDOW | SOFTCAPS | {"head_dim": 8, "query_pre_attn_scalar": 6}),
    "gemma3": (
        "gemma3_text",
        GROUPED | WINDOW | {"head_dim": 8, "query_pre_attn_scalar": 6, "sliding_window_pattern": 2},
    ),
    "olmo": ("olmo", {"clip_qkv": 1.5}),
    "olmo2": ("olmo2", GROUPED),
    "phi": ("phi", partly_rotary(0.67) | {"qk_layernorm": True}),
    "gptj": ("gptj", NO_DROPOUT | {"n_inner": 2 * WIDTH, "rotary_dim": 4}),
    "falcon": ("falcon", {"multi_query": True, "bias": True}),
    "falcon_grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "mpt": ("mpt", {"max_seq_len": 64, "attn_config": {"clip_qkv": 1.5}}),
    "cohere": ("cohere", GROUPED | {"use_qk_norm": True, "logit_scale": 0.5}),
    "granite": ("granite", GROUPED | MULTIPLIERS | {"attention_bias": True}),
    "qwen3_moe": ("qwen3_moe", GROUPED | EXPERTS | {"head_dim": 8}),
}
ARCHITECTURES = ("gpt_neox", "gpt2", "llama", "llama_grouped", "gemma2")
"""Parallel blocks with fused projections, serial ones, separate projections, keys and values shared by heads, and
norms behind attention and MLP."""
MORE_ARCHITECTURES = tuple(name for name in CONFIGURATIONS if name != "qwen3_moe")
"""All but the mixture of experts, which transformers runs in float32 and in half precision only."""
EVERY_ARCHITECTURE = tuple(CONFIGURATIONS)
FORMS = ("gpt_neox", "gpt2", "bloom", "llama_grouped", "gemma2", "olmo2", "falcon", "cohere", "granite", "qwen3_moe")
"""One architecture for each thing that an engine meets: parallel blocks with one norm or two, positions that are
learned, added to scores, or rotated in halves or pairs, keys shared by some heads or all, norms before, behind and on
both sides, caps, windows, multipliers, experts. `tests/patching/test_matrix.py` takes every architecture through each
engine."""
DENSE_FORMS = tuple(name for name in FORMS if name != "qwen3_moe")
NO_BRIDGE = ("falcon_grouped",)
"""Those whose fused projection TransformerLens does not take apart."""
PARALLEL_ARCHITECTURES = ("gpt_neox", "phi", "gptj", "falcon", "falcon_grouped", "cohere")
"""Those whose attention and MLP read the same stream."""


def build(architecture: str, *, layers: int = LAYERS, seed: int = 0, **changes: Any) -> Any:
    """A Hugging Face model with all parameters drawn from `seed`."""
    kind, more = CONFIGURATIONS[architecture]
    if kind == "gpt_neo":
        more = more | {"attention_types": [[["global"], 1], [["local"], layers - 1]]}
    config = AutoConfig.for_model(kind, **SHAPE | more | {"num_hidden_layers": layers} | changes)
    return draw_parameters(AutoModelForCausalLM.from_config(config), seed).eval()


def draw_parameters(hf: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in hf.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            near = 1.0 if bool((parameter == 1).all()) else 0.0
            parameter.copy_(near + 0.25 * drawn)
    return hf


@cache
def small_model(architecture: str, *, layers: int = LAYERS, seed: int = 0) -> HookedModel:
    """The hooked model; tests that change it build their own with `build`."""
    return ie.hook(build(architecture, layers=layers, seed=seed))


def random_pairs(n: int = 6, *, length: int = 7, seed: int = 0) -> PromptPairs:
    """Random prompts; the corrupt ones differ in two tokens."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(1, VOCABULARY, (n, length), generator=generator)
    corrupt = clean.clone()
    for position in (1, length - 2):
        corrupt[:, position] = 1 + (clean[:, position] + 5) % (VOCABULARY - 1)
    answer = torch.randint(1, VOCABULARY, (n,), generator=generator)
    return PromptPairs(clean=clean, corrupt=corrupt, answer=answer, foil=(answer + 7) % VOCABULARY)


def telling_pairs(model: HookedModel, n: int = 6) -> PromptPairs:
    """Pairs whose answer and foil are the tokens that the corruption moves most, so that every pair has a gap."""
    pairs = random_pairs(n)
    with torch.no_grad():
        moved = model.logits(pairs.clean) - model.logits(pairs.corrupt)
    return replace(pairs, answer=moved.argmax(1), foil=moved.argmin(1))


def linear_model(architecture: str = "gpt_neox") -> HookedModel:
    """A model whose logits are an affine function of its embeddings.

    Norms and activations are the identity, gates are open, nothing is capped or clipped, and queries and keys do not
    depend on the prompt, so that every head takes the same mean of what came before in every run.
    """
    bounds = ("clip_qkv", "attn_logit_softcapping", "final_logit_softcapping")
    hf = build(architecture, layers=2)
    for bound in bounds:
        if hasattr(hf.config, bound):
            setattr(hf.config, bound, None)
    for module in [*hf.modules()]:
        if hasattr(module, "attn_logit_softcapping"):
            module.attn_logit_softcapping = None
        for name, child in [*module.named_children()]:
            # Norms of queries and keys stay: what they are given is zero in every run.
            if type(child).__name__.endswith("Norm") and name[:2] not in ("q_", "k_"):
                setattr(module, name, nn.Identity())
            elif name in ("act", "act_fn", "activation_fn", "gelu_impl"):
                setattr(module, name, nn.Threshold(torch.inf, 1.0) if hasattr(module, "gate_proj") else nn.Identity())
    model = ie.hook(hf)
    with torch.no_grad():
        for block in model.decoder.blocks:
            for side in (block.q, block.k):
                for values in (side.weight(), side.bias()):
                    if values is not None:
                        values.zero_()
    return model
