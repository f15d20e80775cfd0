"""Small untrained models of each architecture, and prompt pairs for them.

Every parameter is drawn, those of norms and biases too, so that nothing is right because a term is zero.
"""

from functools import cache

import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import interp_emerge as ie
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.core.model import HookedModel

VOCABULARY, WIDTH, HEADS, LAYERS = 40, 24, 4, 3
SHARED = {"vocab_size": VOCABULARY, "max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 0}
SHAPE = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
GPT2_SHAPE = {"n_positions": 32, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
GPT2_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}

ARCHITECTURES = ("gpt_neox", "gpt2", "llama", "llama_grouped")
"""Parallel blocks with fused projections, serial ones, separate projections, and keys and values shared by heads."""
MORE_ARCHITECTURES = (*ARCHITECTURES, "gpt_neox_serial", "qwen3")
"""Also norms on queries and keys, with heads wider than the residual stream divides into."""


def build(architecture: str, *, layers: int = LAYERS, seed: int = 0) -> nn.Module:
    """A Hugging Face model with all parameters drawn from `seed`."""
    shape = SHAPE | {"num_hidden_layers": layers}
    match architecture:
        case "gpt_neox":
            hf = GPTNeoXForCausalLM(GPTNeoXConfig(**SHARED, **shape, rotary_pct=0.5))
        case "gpt_neox_serial":
            hf = GPTNeoXForCausalLM(GPTNeoXConfig(**SHARED, **shape, rotary_pct=0.5, use_parallel_residual=False))
        case "gpt2":
            hf = GPT2LMHeadModel(GPT2Config(**SHARED, **GPT2_SHAPE | {"n_layer": layers}, **GPT2_DROPOUT))
        case "llama":
            hf = LlamaForCausalLM(LlamaConfig(**SHARED, **shape, pad_token_id=0))
        case "llama_grouped":
            hf = LlamaForCausalLM(LlamaConfig(**SHARED, **shape, pad_token_id=0, num_key_value_heads=2))
        case "qwen3":
            hf = Qwen3ForCausalLM(Qwen3Config(**SHARED, **shape, pad_token_id=0, num_key_value_heads=2, head_dim=8))
        case _:
            raise AssertionError(architecture)
    return draw_parameters(hf, seed).eval()


def draw_parameters(hf: nn.Module, seed: int) -> nn.Module:
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
