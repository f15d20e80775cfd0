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
from interp_emerge.abilities.base import PromptPairs
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
HALF_ROTARY = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", HALF_ROTARY),
    "gpt_neox_serial": ("gpt_neox", HALF_ROTARY | {"use_parallel_residual": False}),
    "gpt2": ("gpt2", NO_DROPOUT | {"n_inner": 2 * WIDTH}),
    "llama": ("llama", {}),
    "llama_grouped": ("llama", {"num_key_value_heads": 2}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "head_dim": 8}),
}
ARCHITECTURES = ("gpt_neox", "gpt2", "llama", "llama_grouped")
"""Parallel blocks with fused projections, serial ones, separate projections, and keys and values shared by heads."""
MORE_ARCHITECTURES = tuple(CONFIGURATIONS)
"""Also norms on queries and keys, with heads wider than the residual stream divides into."""


def build(architecture: str, *, layers: int = LAYERS, seed: int = 0) -> Any:
    """A Hugging Face model with all parameters drawn from `seed`."""
    kind, more = CONFIGURATIONS[architecture]
    config = AutoConfig.for_model(kind, **SHAPE, **more, num_hidden_layers=layers)
    return draw_parameters(AutoModelForCausalLM.from_config(config), seed).eval()


def draw_parameters(hf: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in hf.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            near = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
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

    Norms and activations are the identity, gates are open, and queries and keys are zero, so that attention is a plain
    mean of what came before.
    """
    hf = build(architecture, layers=2)
    for module in [*hf.modules()]:
        for name, child in [*module.named_children()]:
            if isinstance(child, nn.LayerNorm) or name.endswith("norm") or name == "act":
                setattr(module, name, nn.Identity())
            elif name == "act_fn":
                setattr(module, name, nn.Threshold(torch.inf, 1.0))
    model = ie.hook(hf)
    with torch.no_grad():
        for block in model.anatomy.blocks:
            for side in (block.q, block.k):
                for parameter in side.module.parameters():
                    # GPT-2 keeps outputs in the last axis of its weights, the others in the first.
                    outputs = parameter.movedim(-1, 0) if architecture == "gpt2" else parameter
                    outputs[side.features.flatten()] = 0.0
    return model
