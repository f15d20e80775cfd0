"""Read a Hugging Face model's `Shape` and `Graph` from its configuration."""

from typing import Any

from torch import Tensor

from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.shape import Shape

LEAST_HEAD = 16
"""Width of a head if a configuration does not give one number of heads for all layers."""
PARALLEL_MODEL_TYPES = {"gptj", "phi", "codegen", "cohere", "cohere2"}
"""Architectures whose attention and MLP always read the same residual stream."""
PARALLEL_FLAGS = ("use_parallel_residual", "parallel_attn")
"""Fields that say the same in configurations of other architectures."""
JOINING_MODEL_TYPES = {"olmo2", "olmo3", "olmoe", "flex_olmo"}
"""Architectures whose norm of queries (and of keys) runs over all heads of a layer together."""
RESCALING_MODEL_TYPES = {"gemma2", "gemma3", "gemma3_text", "olmo2", "olmo3", "flex_olmo", "glm4", "exaone4"}
"""Architectures with a norm after attention."""
SPECIAL = ("bos", "eos", "pad")


def shape_of(hf: Any) -> Shape:
    """The shape of a Hugging Face model."""
    return shape_of_config(hf.config, vocabulary_size(hf))


def shape_of_config(config: Any, d_vocab: int) -> Shape:
    """The shape that a Hugging Face configuration describes, for a model with logits for `d_vocab` tokens."""
    text = config.get_text_config()
    width = _number(text, "hidden_size", 0)
    heads = _number(text, "num_attention_heads", max(1, width // LEAST_HEAD))
    inner = _number(text, "moe_intermediate_size", 0) or _number(text, "intermediate_size", 4 * width)
    bos = getattr(config, "bos_token_id", None)
    return Shape(
        d_model=width,
        d_vocab=d_vocab,
        n_heads=heads,
        d_head=_number(text, "head_dim", width // max(1, heads)),
        d_inner=inner * _number(text, "num_experts_per_tok", 1),
        n_context=_context_of(config),
        bos=bos if isinstance(bos, int) else None,
        special={
            kind: tuple(token for source in (config, text) for token in _ids(getattr(source, f"{kind}_token_id", None)))
            for kind in SPECIAL
        },
    )


def vocabulary_size(hf: Any) -> int:
    """How many tokens a Hugging Face model has logits for."""
    head = hf.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if isinstance(weight, Tensor):
        return int(weight.shape[0])
    return int(getattr(head, "out_features", None) or hf.config.get_text_config().vocab_size)


def graph_of_config(config: Any) -> Graph:
    """The graph that a Hugging Face configuration describes; its norms follow from the type of model alone.

    Raises:
        InputError: the configuration does not say how many layers and heads there are.
    """
    layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
    if not isinstance(layers, int) or not isinstance(heads, int):
        raise InputError(
            f"{type(config).__name__} does not give one number of layers and heads; pass the configuration of a decoder"
        )
    kind = getattr(config, "model_type", "")
    return Graph(
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=_key_value_heads(config) or heads,
        parallel=kind in PARALLEL_MODEL_TYPES or any(getattr(config, flag, False) for flag in PARALLEL_FLAGS),
        joined=kind in JOINING_MODEL_TYPES,
        rescaled=kind in RESCALING_MODEL_TYPES,
    )


def _key_value_heads(config: Any) -> int | None:
    """Number of key-value heads in a layer; None if it is the number of heads."""
    if getattr(config, "new_decoder_architecture", False):  # Falcon
        return config.num_kv_heads
    multi_query = getattr(config, "multi_query", None)
    if multi_query is not None:  # Falcon and GPTBigCode; their code ignores any other count
        return 1 if multi_query else None
    return getattr(config, "num_key_value_heads", None)


def _number(config: Any, name: str, otherwise: int) -> int:
    """A number of a configuration; the largest if it gives one for each layer."""
    try:
        value = getattr(config, name, None)
    except RuntimeError:  # transformers refuses a field that differs between layers
        value = None
    if not value:
        return otherwise
    return int(max(value) if isinstance(value, list | tuple) else value)


def _ids(value: Any) -> list[int]:
    return [] if value is None else [*value] if isinstance(value, list | tuple) else [value]


def _context_of(config: Any) -> int | None:
    """Number of positions; None without a limit, which some configurations write as -1."""
    found = getattr(config, "max_position_embeddings", None)
    return found if found is not None and found > 0 else None


def short_length(hf: Any) -> int:
    """Number of tokens in the short prompts on which a model is read: 8, or fewer if its context is shorter."""
    return min(8, _context_of(hf.config) or 8)
