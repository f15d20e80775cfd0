"""Tiny random models of some architectures, and checkpoints of them on disk and in an imitated hub cache."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM as AnyModel,
    BitNetConfig,
    BloomConfig,
    DeepseekV3Config,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteMoeConfig,
    LlamaConfig,
    MambaConfig,
    Olmo2Config,
    OpenAIGPTConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

WORDS = 64
SPECIAL: dict[str, Any] = {"vocab_size": WORDS, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GATED: dict[str, Any] = {**SPECIAL, **SHAPE, "intermediate_size": 48, "num_key_value_heads": 2}

MODELS = {
    "gpt_neox": lambda: GPTNeoXConfig(**SPECIAL, **SHAPE, intermediate_size=48),
    "gpt_neox, one after the other": lambda: GPTNeoXConfig(
        **SPECIAL, **SHAPE, intermediate_size=48, use_parallel_residual=False
    ),
    "gpt2": lambda: GPT2Config(**SPECIAL, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "llama": lambda: LlamaConfig(**GATED, attention_bias=True, mlp_bias=True),
    "gemma2": lambda: Gemma2Config(**GATED, head_dim=16),
    "olmo2 without biases": lambda: Olmo2Config(**GATED),
    "qwen3": lambda: Qwen3Config(**GATED, head_dim=16),
}
AFTER = "its residual stream goes through a norm in every block"
FORM = "its blocks have none of the known forms"
PARTS = r"its parts do not give the model's logits \(difference: \S+ standard deviations\)"
LATENT: dict[str, Any] = GATED | {
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "moe_intermediate_size": 16,
    "n_routed_experts": 8,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}
WHOLE = {
    "opt": (lambda: OPTConfig(**SPECIAL, **SHAPE, ffn_dim=48, do_layer_norm_before=False), AFTER),
    "bloom": (lambda: BloomConfig(**SPECIAL, **SHAPE, apply_residual_connection_post_layernorm=True), AFTER),
    "olmo2": (
        lambda: Olmo2Config(**GATED, attention_bias=True),
        "a norm after attention scales an output bias, which belongs to no head",
    ),
    "openai-gpt": (lambda: OpenAIGPTConfig(**SPECIAL, n_embd=32, n_layer=2, n_head=4, n_positions=64), AFTER),
    "granitemoe": (lambda: GraniteMoeConfig(**GATED, num_local_experts=4, num_experts_per_tok=2), FORM),
    "mamba": (
        lambda: MambaConfig(**SPECIAL, hidden_size=32, num_hidden_layers=2, state_size=4),
        "some of its layers are not attention",
    ),
    "deepseek_v3": (
        lambda: DeepseekV3Config(**LATENT),
        "its queries, keys and values pass through a narrow space",
    ),
    "bitnet": (lambda: BitNetConfig(**GATED), PARTS + r" \(one norm runs over the outputs of all its heads"),
    "gpt_oss": (
        lambda: GptOssConfig(**GATED, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
        PARTS + r" \(each of its heads also attends to a learned sink, which is not a token",
    ),
    # Falcon multiplies its linear biases by the scale of the scores; BLOOM does not.
    "falcon": (lambda: FalconConfig(**SPECIAL, **SHAPE, alibi=True, multi_query=False, parallel_attn=False), PARTS),
}
"""Architectures that cannot be split into heads and edges, each with the reason."""


def tiny_model(architecture: str = "gpt_neox", seed: int = 0, **changes: Any) -> Any:
    """A model whose every parameter is random, so that no bias or norm is a no-op."""
    config = (MODELS[architecture] if architecture in MODELS else WHOLE[architecture][0])()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AnyModel.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model


def tiny_tokenizer(words: int = WORDS) -> PreTrainedTokenizerFast:
    """A tokenizer of the words w0, w1, …; w0 begins every text, and w1 stands for an unknown word."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(words)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w0", unk_token="w1")


def save_model(directory: Path, seed: int = 0, *, architecture: str = "gpt_neox", **changes: Any) -> Path:
    """A checkpoint in a directory, without a tokenizer."""
    tiny_model(architecture, seed, **changes).save_pretrained(directory)
    return directory


def save_checkpoint(directory: Path, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint in a directory, with its tokenizer."""
    tiny_tokenizer().save_pretrained(directory)
    return save_model(directory, seed, **changes)


def cache_revision(cache: Path, repository: str, revision: str, seed: int, **changes: Any) -> str:
    """Put a checkpoint into a hub cache, as a download would; returns its commit."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    commit = f"{seed:040x}"
    save_checkpoint(folder / "snapshots" / commit, seed, **changes)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / revision).write_text(commit)
    return commit


def some_tokens(rows: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(2, WORDS, (rows, length), generator=torch.Generator().manual_seed(1))
