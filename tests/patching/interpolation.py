"""Slopes of the logit difference by finite differences, as one node or edge moves from its corrupt to its clean value.

The decoder runs forward only, written out here once more: no gradient, and no line of the patching methods.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import interp_emerge as ie
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.core.graph import Node
from interp_emerge.core.model import HookedModel
from tests.models.small_models import build

STEP = 1e-4
SERIAL_ONLY = ("resid_mid",)
SITES = ("embed", "head", "mlp", "q", "k", "v", "pattern", "attention", "resid_pre", "resid_post")
Values = dict[tuple[str, int], Tensor]
Change = Callable[[str, int, Tensor], Tensor]
"""From a kind of part, its layer and its value to the value that the run goes on with."""


def precise_model(architecture: str) -> HookedModel:
    """A small model that computes in float64 throughout."""
    return ie.hook(precisely(build(architecture, layers=2)))


def precisely(hf: Any) -> Any:
    """A model in float64, its root-mean-square norms too, which transformers computes in float32."""
    hf = hf.double()
    for module in [*hf.modules()]:
        for name, child in [*module.named_children()]:
            if type(child).__name__.endswith("RMSNorm"):
                eps = getattr(child, "eps", getattr(child, "variance_epsilon", None))
                norm = nn.RMSNorm(len(child.weight), eps=eps, dtype=torch.float64)
                gain = 1 + child.weight if "Gemma" in type(child).__name__ else child.weight
                norm.weight.data.copy_(gain.data)
                setattr(module, name, norm)
    return hf


def sites_of(model: HookedModel) -> tuple[str, ...]:
    """All kinds of nodes that the model has."""
    return SITES if model.graph.parallel else (*SITES, *SERIAL_ONLY)


@torch.no_grad()
def run_with(model: HookedModel, tokens: Tensor, change: Change) -> tuple[Tensor, Values]:
    """Logits after the last token, and the parts of the run."""
    values: Values = {}

    def part(kind: str, layer: int, value: Tensor) -> Tensor:
        values[kind, layer] = changed = change(kind, layer, value)
        return changed

    stream = part("embed", -1, model.decoder.embed(tokens))
    for layer, block in enumerate(model.decoder.blocks):
        stream = part("resid_pre", layer, stream)
        q, k, v = block.project(block.attention_norm(stream))
        q, k, v = part("q", layer, q), part("k", layer, k), part("v", layer, v)
        pattern = part("pattern", layer, block.attention.pattern(q, k))
        z = block.attention.weigh(pattern, v)
        terms = block.head_writes(z)
        bias = block.attention_writes(z) - terms.sum(2)
        attended = stream + part("attention", layer, part("head", layer, terms).sum(2) + bias)
        read = stream if block.parallel else part("resid_mid", layer, attended)
        attended = attended if block.parallel else read
        stream = part("resid_post", layer, attended + part("mlp", layer, block.mlp_writes(read)))
    return model.decoder.logits(stream[:, -1]), values


def slope_of_node(model: HookedModel, pairs: PromptPairs, node: Node, position: int | None = None) -> float:
    """Slope at the corrupt run as a node moves to its clean value, at one position or all of them."""
    clean, corrupt = (run_with(model, tokens, lambda *given: given[2])[1] for tokens in (pairs.clean, pairs.corrupt))
    site = (node.kind, node.layer)
    move = torch.zeros_like(clean[site])
    positions = slice(None) if position is None else position
    match node.kind:
        case "pattern":
            at = (slice(None), node.index, positions)
        case "head" | "q" | "k" | "v":
            at = (slice(None), positions, node.index)
        case _:
            at = (slice(None), positions)
    move[at] = (clean[site] - corrupt[site])[at]
    return central_difference(
        model, pairs, lambda share: lambda kind, layer, x: x + share * move if (kind, layer) == site else x
    )


def central_difference(model: HookedModel, pairs: PromptPairs, change: Callable[[float], Change]) -> float:
    ends = [_logit_diff(run_with(model, pairs.corrupt, change(share))[0], pairs) for share in (STEP, -STEP)]
    return (ends[0] - ends[1]) / (2 * STEP)


def _logit_diff(logits: Tensor, pairs: PromptPairs) -> float:
    rows = torch.arange(len(pairs))
    return float((logits[rows, pairs.answer] - logits[rows, pairs.foil]).mean())


def slope_of_edge(model: HookedModel, pairs: PromptPairs, writer: int, reader: int) -> float:
    """Slope at the corrupt run as one writer's term in one reader's input moves to its clean value."""
    source, target = model.graph.writers[writer], model.graph.readers[reader]
    clean, corrupt = (run_with(model, tokens, lambda *given: given[2])[1] for tokens in (pairs.clean, pairs.corrupt))
    move = clean[source.kind, source.layer] - corrupt[source.kind, source.layer]
    move = move[:, :, source.index] if source.kind == "head" else move

    def change(share: float) -> Change:
        return lambda kind, layer, x: _read_anew(model, target, kind, layer, x, corrupt, share * move)

    return central_difference(model, pairs, change)


def _read_anew(
    model: HookedModel, reader: Node, kind: str, layer: int, x: Tensor, corrupt: Values, shift: Tensor
) -> Tensor:
    """A part's value where its reader's input is shifted; the run above the reader is the corrupt one."""
    if reader.kind == "logits":
        return x + shift if (kind, layer) == ("resid_post", model.graph.n_layers - 1) else x
    if (kind, layer) != (reader.kind, reader.layer):
        return x
    block = model.decoder.blocks[layer]
    if kind == "mlp":
        return block.mlp_writes(corrupt["resid_pre" if block.parallel else "resid_mid", layer] + shift)
    projected = dict(zip("qkv", block.project(block.attention_norm(corrupt["resid_pre", layer] + shift)), strict=True))
    x = x.clone()
    x[:, :, reader.index] = projected[kind][:, :, reader.index]
    return x
