"""Reasons why an architecture is not split into heads and edges, found by the names of its modules."""

import re
from typing import Any

from interp_emerge.core.errors import ModelError

NARROW = "its queries, keys and values pass through a narrow space with a norm in it (latent attention)"
OTHER_LAYERS = "some of its layers are not attention (state spaces, convolutions or recurrences)"
SINKS = "each of its heads also attends to a learned sink, which is not a token"
NORM_OF_HEADS = "one norm runs over the outputs of all its heads before their projection"
GATE = "its heads' outputs are multiplied by a gate that reads the stream"
STREAM = "its blocks do more to the residual stream than add to it"
NORM_OF_STREAM = "its residual stream goes through a norm in every block"
EXPERTS = "a router decides which heads each token uses (experts of attention)"
IMAGES = "some of its layers attend to images, and do not run without them"
TWICE = "its layers run several times, or on parts into which the model itself cuts the text"
SCALED = "its queries are scaled by a factor that depends on their position, after their rotation"
HASHED = "its tokens attend within buckets, which are drawn at random in each run"
TRANSFORMED = (
    "its logits are not a linear function of its last residual stream: its head has layers and a norm of its own"
)
REASONS = {
    r"(kv_a_proj|q_a_proj|kv_b_proj|kv_down)": NARROW,
    r"(mamba|mixer|ssm|conv1d|linear_attn|time_mix|short_conv|recurrent|xlstm|\.conv\b|rwkv)": OTHER_LAYERS,
    r"\.sinks$": SINKS,
    r"(attn_sub_norm|inner_attn_ln|sub_layernorm|subln)": NORM_OF_HEADS,
    r"(attn|attention)\.(gate_proj|g_proj|gate)\b": GATE,
    r"(altup|laurel|per_layer_input|hyper_connection|input_residual)": STREAM,
    r"attention\.output\.LayerNorm": NORM_OF_STREAM,
    r"cross_attn_attn_gate": IMAGES,
    r"(layers|h|blocks)\.\d+\.(self_attention|self_attn|attn)\.(experts|router)\b": EXPERTS,
    r"(lm_head|predictions)\.(transform|dense|layer_norm|norm)\b": TRANSFORMED,
}
"""Patterns of names of modules and parameters, each with the reason that it implies; the first match counts."""
KINDS = {
    r"(bart|blenderbot-small|plbart|mvp|marian|trocr|prophetnet|xlm|xlnet|git|openai-gpt)": NORM_OF_STREAM,
    r"(hrm_text|blt)": TWICE,
    r"(minimax|xlstm|lfm2|zaya)": OTHER_LAYERS,
    r"reformer": HASHED,
    r"diffllama": NORM_OF_HEADS,
    r"(ministral3|llama4(_text)?)": SCALED,
}
"""Types of models whose module names do not show the reason, each with its reason."""


def not_split(hf: Any, reason: str) -> ModelError:
    """The error for an architecture that cannot be split into heads and edges."""
    return ModelError(f"{hf.config.model_type!r} is not split into heads and edges: {reason}; abilities can still "
                      "be measured, and `.bridge` works if TransformerLens knows the architecture")  # fmt: skip


def known_reason(hf: Any) -> str:
    """The reason that the model's type or the names of its modules imply; empty if they imply none."""
    for kind, reason in KINDS.items():
        if re.fullmatch(kind, hf.config.model_type):
            return reason
    names = [name for name, _ in (*hf.named_modules(), *hf.named_parameters())]
    return next((reason for pattern, reason in REASONS.items() if any(re.search(pattern, name) for name in names)), "")
