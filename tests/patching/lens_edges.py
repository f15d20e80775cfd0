"""Edges as TransformerLens counts them, position by position, under this package's names."""

from typing import Any

from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch

from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.model import HookedModel

SIDES = {"q_input": "q", "k_input": "k", "v_input": "v"}


def lens_edge_scores(model: HookedModel, pair: PromptPairs) -> dict[tuple[Any, Any], float]:
    """TransformerLens's edge attribution of the logit difference on one pair."""
    model.bridge.set_use_attn_result(True)
    model.bridge.set_use_split_qkv_input(True)
    model.bridge.set_use_hook_mlp_in(True)
    metric = bind_metric("logit_diff", model, pair)
    config = EdgeAttributionConfig(granularity="edge")
    found = attribution_patch(
        model.bridge, pair.clean, pair.corrupt, lambda logits: metric(logits[:, -1]).sum(), config
    )
    return found.edge_scores


def name_of(node: Any) -> str:
    match node.kind:
        case "embed" | "logits":
            return node.kind
        case "mlp_out" | "mlp_in":
            return f"m{node.layer}"
        case "attn_head_out":
            return f"a{node.layer}.h{node.head}"
        case side:
            return f"a{node.layer}.h{node.head}.{SIDES[side]}"
