"""Gradients of a metric at the input of every reader, without splitting one input.

1. `_forward` runs the model from given embeddings and keeps, in the autograd graph, the outputs of the query, key and
   value projections, a copy of the residual stream that only the MLP reads, and the stream before the last norm.
2. `_pull_back` takes the gradient at a projection's output through the projection's weight, head by head, and through
   the norm before it: the norm's input is shared, so its vector-Jacobian product is linear in the gradients.

Cost: one forward and one backward pass, and one norm product a reader. Memory: one vector of `d_model` for each pair,
position and reader.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interp_emerge.abilities._metrics import BoundMetric
from interp_emerge.core.axes import Residual
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import Block, Hook, HookedModel, hooked


def reader_gradients(
    model: HookedModel, tokens: Tensor, embeddings: Residual, metric: BoundMetric
) -> Float[Tensor, "pair pos reader d_model"]:
    """Gradient of each pair's metric at the input of every reader, readers in the graph's order.

    Args:
        model: what to run.
        tokens: prompts, which only set the shape: the residual stream starts from `embeddings`.
        embeddings: the residual stream before the first block.
        metric: what to differentiate.

    Raises:
        InputError: the metric has no gradient.
    """
    with frozen(model.hf), torch.enable_grad():
        kept = _forward(model, tokens, embeddings, metric)
        targets = [*kept.projections.values(), *kept.mlp_inputs, kept.final]
        if not kept.total.requires_grad:
            raise InputError(f"metric {metric.name!r} has no gradient; gradient methods need one such as logit_diff")
        found = torch.autograd.grad(kept.total, targets)
    by_module = dict(zip(kept.projections, found, strict=False))
    after = found[len(by_module) :]
    parts = []
    for layer, block in enumerate(model.anatomy.blocks):
        parts.append(_pull_back(block, kept.attention_inputs[layer], by_module))
        parts.append(after[layer].unsqueeze(2))
    return torch.cat([*parts, after[-1].unsqueeze(2)], 2)


@dataclass
class _Kept:
    projections: dict[nn.Module, Tensor] = field(default_factory=dict)
    attention_inputs: list[Tensor] = field(default_factory=list)
    mlp_inputs: list[Tensor] = field(default_factory=list)
    final: Tensor = field(default_factory=lambda: torch.empty(0))
    total: Tensor = field(default_factory=lambda: torch.empty(0))


def _forward(model: HookedModel, tokens: Tensor, embeddings: Tensor, metric: BoundMetric) -> _Kept:
    kept = _Kept()
    start = embeddings.detach().clone().requires_grad_(True)

    def keep_projection(module: nn.Module) -> Hook:
        def save(value: Tensor) -> None:
            kept.projections[module] = value

        return module, "output", save

    def keep_mlp_input(value: Tensor) -> Tensor:
        kept.mlp_inputs.append(value.clone())
        return kept.mlp_inputs[-1]

    def keep_final(value: Tensor) -> None:
        kept.final = value

    def keep_attention_input(value: Tensor) -> None:
        kept.attention_inputs.append(value.detach())

    hooks: list[Hook] = [(model.anatomy.blocks[0].module, "input", lambda _: start)]
    for block in model.anatomy.blocks:
        hooks += [keep_projection(module) for module in dict.fromkeys((block.q.module, block.k.module, block.v.module))]
        hooks += [(block.attention_norm, "input", keep_attention_input), (block.mlp_norm, "input", keep_mlp_input)]
    hooks.append((model.anatomy.final_norm, "input", keep_final))
    with hooked(hooks):
        kept.total = metric(model.logits(tokens)).sum()
    return kept


def _pull_back(block: Block, residual: Tensor, gradients: dict[nn.Module, Tensor]) -> Tensor:
    """Gradients at the inputs of a block's queries, keys and values, shape [pair, pos, reader, d_model]."""
    at_norm = torch.cat(
        [
            torch.einsum("bphk,hkd->hbpd", gradients[side.module][..., side.features], side.weight())
            for side in (block.q, block.k, block.v)
        ]
    )
    pull = torch.func.vjp(block.attention_norm, residual)[1]
    (at_residual,) = torch.vmap(pull)(at_norm)
    return at_residual.movedim(0, 2)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """While open, no parameter asks for a gradient."""
    asked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
