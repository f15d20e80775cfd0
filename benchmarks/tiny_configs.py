"""A tiny configuration of every kind of model that transformers offers as a causal language model.

A configuration is made from the defaults of its class: every field that sizes something is cut down by its name,
whatever the architecture calls it. A few kinds have sizes that depend on one another and are given by hand.
"""

import re
from typing import Any

from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCABULARY, WIDTH, HEADS, LAYERS, WINDOW, POSITIONS = 40, 32, 4, 3, 12, 64
ORDINARY = range(3, 33)
"""Token ids that stand for text; the others may be those of special tokens, images and sounds."""
SIZES: tuple[tuple[str, int], ...] = (
    (r".*vocab_size(_per_layer_input)?|encoder_hash_byte_group_vocab", VOCABULARY),
    (r"codebook_size", 32),
    (r"(bos|decoder_start)_token_id", 1),
    (r"eos_token_id", 2),
    (r"pad_token_id", 0),
    (r".*token_(id|index)", VOCABULARY - 1),
    (r"max_(.*_)?(position_embeddings|positions|seq_len)|n_positions|n_ctx|context_length|model_max_length", POSITIONS),
    (r"sliding_window(_size)?|window_size|attention_(window|chunk)_size|(keep|attention)_window_size", WINDOW),
    (
        r"local_attention(_window_len)?|original_max_position_embeddings|floor_scale|log_scaling_n_floor|rel_extent",
        WINDOW,
    ),
    (r"index_topk(_blocks)?|index_local_blocks", WINDOW),
    (r"(mamba_|index_)?(chunk|block)_size|max_inference_chunksize", 4),
    (r"(num_|n_)?((hidden|decoder|encoder)_)?layers?|num_blocks|depth", LAYERS),
    (r"num_layers_per_stack|num_residual_layers|n_layers_per_attn_res_block", 2),
    (r".*_cycles|topk_group|first_k_dense_replace|num_dense_layers|moe_layer_start_index|num_kv_shared_layers", 1),
    (r"(.*_)?num_key_value_heads|n(um)?_kv_heads|kv_n_heads|linear_num_key_heads|num_query_groups", 2),
    (r"(.*_)?heads|n_head", HEADS),
    (r"(q|o)_lora_rank|laurel_rank|adapter_rank|gated_norm_rank|(mamba_)?dt_rank|time_step_rank", 12),
    (r"kv_lora_rank|hc_lowrank|d_rel|mamba_d_state|(ssm_)?state_size", 8),
    (r"qk_rope_head_dim|rotary_dim", 4),
    (r"qk_head_dim", 12),
    (
        r"(.*_)?head_dim|attention_head_dim|kv_channels|d_head|dim_head|attention_head_size|mamba_(d_head|headdim)|d_kv",
        8,
    ),
    (r"(.*_)?experts", 4),
    (r"num_experts_per_tok(en)?|moe_(k|topk|top_k)", 2),
    (r"n_groups?|num_expert_group|mamba_n_?groups|o_groups|upsample_groups", 2),
    (r"(.*_)?(intermediate|ffn_hidden|feed_forward)_size.*|.*ffn_dim|dff|dim_ff|d_ff|d_inner|n_inner", 48),
    (r"(.*_)?hidden_size(_global|_per_layer_input)?|d_model|n_embd|emb_dim|embedding_(dim|size)|lru_width", WIDTH),
    (r"word_embed_proj_dim|(input|output)_embedding_size|.*embed_dim|mamba_d_ssm|num_centroids", WIDTH),
    (r"adapter_(in|out)_dim|adapter_input_size", WIDTH),
)
"""Names of fields, as patterns, and what they are cut down to; the first that fits counts."""
ROTARY = {"rope_type": "default", "rope_theta": 10_000.0}
NO_INPUT_BY_LAYER = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0, "num_kv_shared_layers": LAYERS}
GRANITE = {
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.2,
    "logits_scaling": 3.0,
}
MIXERS = {"mamba_n_heads": 8, "mamba_d_head": 8}
INDEXER = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}
NARROW = {"head_dim": 16, "per_layer_config": {"2": {"num_key_value_heads": 2}}}
TWICE_AS_WIDE = {"attention_hidden_size": 64, "attention_head_dim": 16}
BY_HAND: dict[str, dict[str, Any]] = {
    "bamba": MIXERS | {"attn_layer_indices": [1]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROTARY | {"mrope_section": [2, 1, 1]}}},
    "dbrx": {"attn_config": {"rope_theta": 10_000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note": {"text_config": NARROW},
    "dots3_note_text": NARROW,
    "falcon_h1": {"mamba_d_ssm": 32},
    "gemma4_assistant": {"text_config": NO_INPUT_BY_LAYER},
    "gpt_neo": {"attention_types": [[["global", "local"], 1], [["global"], 1]]},
    "granitemoehybrid": GRANITE | MIXERS | {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
    "laguna": {"num_attention_heads_per_layer": [4, 8, 4]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "mllama": {"text_config": {"cross_attention_layers": [1]}},
    "musicgen": {"decoder": {"num_codebooks": 1}},
    "musicgen_melody": {"decoder": {"num_codebooks": 1}},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp": {"text_config": INDEXER},
    "qwen4_exp_text": INDEXER,
    "reformer": {"is_decoder": True, "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 24]},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "xmod": {"default_language": "en_XX"},
    "zamba": TWICE_AS_WIDE | {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": TWICE_AS_WIDE | {"mamba_headdim": 8, "n_mamba_heads": 8},
    **dict.fromkeys(
        ("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared", "hyperclovax"), GRANITE
    ),
}
"""What the rules do not find out, by kind; multipliers are set where released models have others than one."""
STARTED_WITH: dict[str, dict[str, Any]] = {
    "gemma4_assistant": {"text_config": {"model_type": "gemma4_text", **NO_INPUT_BY_LAYER, "num_hidden_layers": LAYERS}}
}
"""What a class has to be given where it refuses its own defaults."""
AS_DECODER = "is_decoder=True"
ENCODERS = (
    *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert"),
    *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)
ROPE_KINDS: dict[str, dict[str, Any]] = {
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0, "original_max_position_embeddings": WINDOW},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": WINDOW},
    "llama3": {
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": WINDOW,
    },
    "longrope": {
        "short_factor": [1.0] * 4,
        "long_factor": [1.0, 2.0, 3.0, 4.0],
        "original_max_position_embeddings": WINDOW,
        "factor": 8.0,
    },
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    **{kind: {AS_DECODER: {"is_decoder": True}} for kind in ENCODERS},
    "bloom": {"norms of the stream": {"apply_residual_connection_post_layernorm": True}},
    "cohere": {"use_qk_norm=True": {"use_qk_norm": True}},
    "falcon": {
        "new_decoder_architecture=True": {"new_decoder_architecture": True, "num_kv_heads": 2},
        "alibi=True": {"alibi": True, "parallel_attn": False, "multi_query": False, "num_kv_heads": HEADS},
    },
    "gpt2": {"scale_attn_by_inverse_layer_idx=True": {"scale_attn_by_inverse_layer_idx": True}},
    "gpt_bigcode": {"multi_query=False": {"multi_query": False}},
    "gpt_neox": {"use_parallel_residual=False": {"use_parallel_residual": False}},
    "llama": {
        **{f"{kind} rotation": {"rope_parameters": ROTARY | {"rope_type": kind} | m} for kind, m in ROPE_KINDS.items()},
        "a stray sliding_window": {"sliding_window": WINDOW},
        "biases": {"attention_bias": True, "mlp_bias": True},
    },
    "opt": {"do_layer_norm_before=False": {"do_layer_norm_before": False}},
    "qwen2": {
        "windows from the second layer on": {
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
            "sliding_window": WINDOW,
            "use_sliding_window": True,
        }
    },
    "stablelm": {
        "use_parallel_residual=True": {"use_parallel_residual": True},
        "qk_layernorm=True": {"qk_layernorm": True},
    },
    "xlm": {"causal=True": {"causal": True}},
}
"""Forms that one kind is met in besides its defaults, by what sets them."""


def tiny_config(kind: str, variant: str = "") -> PretrainedConfig:
    """A small configuration of this kind, with windows and chunks of a few tokens where it has any."""
    made = CONFIG_MAPPING[kind]
    defaults = made(**STARTED_WITH.get(kind, {})).to_dict()
    changed = merged(shrunk(defaults), BY_HAND.get(kind, {}))
    config = made(**merged(changed, VARIANTS[kind][variant] if variant else {}))
    return config.decoder if kind in ("musicgen", "musicgen_melody") else config


def shrunk(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that had to be cut down, those of configurations inside among them."""
    layers = next((fields[n] for n in ("num_hidden_layers", "n_layers", "num_layers") if fields.get(n)), 0)
    by_layer = {name: value for name, value in fields.items() if isinstance(value, list) and len(value) == layers > 0}
    kept = different_layers([repr(layer) for layer in zip(*by_layer.values(), strict=True)])
    made: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "per_layer_config":
            of_layer = {int(index): changes for index, changes in value.items()}
            made[name] = {str(new): _in_proportion(fields, of_layer.get(old, {})) for new, old in enumerate(kept)}
        elif isinstance(value, dict):
            made[name] = value | shrunk(value)
        elif name in by_layer:
            made[name] = [value[index] for index in kept]
        elif isinstance(value, int) and not isinstance(value, bool) and _size(name, value) < value:
            made[name] = _size(name, value)
    if "qk_rope_head_dim" in fields:  # Every head has keys of its own, and some configurations call two sizes one.
        same = fields.get("head_dim") == fields["qk_rope_head_dim"]
        made |= {"num_key_value_heads": HEADS} | ({"head_dim": made["qk_rope_head_dim"]} if same else {})
    return {name: value for name, value in made.items() if name in fields}


def different_layers(kinds: list[str]) -> list[int]:
    """Places of a few layers that differ as far as possible, in their order."""
    first = {kind: index for index, kind in reversed([*enumerate(kinds)])}
    others = [index for index in range(len(kinds)) if index not in first.values()]
    return sorted([*sorted(first.values()), *others][:LAYERS])


def merged(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Fields with more of them, configurations inside merged too."""
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(fields.get(name), dict)
        fields = fields | {name: merged(fields[name], value) if both else value}
    return fields


def _size(name: str, value: int) -> int:
    return next((small for pattern, small in SIZES if re.fullmatch(pattern, name)), value)


def _in_proportion(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What a layer has otherwise than the rest, as much larger or smaller as it was."""
    return {
        name: _size(name, value) * value // fields[name] if isinstance(value, int) and fields.get(name) else value
        for name, value in changes.items()
    }
