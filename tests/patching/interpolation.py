"""Slopes of the logit difference, by finite differences, as one node or edge moves from corrupted to clean value.

The decoder runs forward only, and is written out here once more: no gradient, and no line of the patching methods.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import interp_emerge as ie
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.graph import Node
from interp_emerge.core.model import HookedModel
from tests.models.small_models import build

STEP = 1e-4
SERIAL_ONLY = ("resid_mid",)
SITES = ("embed", "head", "mlp", "q", "k", "v", "pattern", "attention", "resid_pre", "resid_post")
Values = dict[tuple[str, int], Tensor]
Change = Callable[[str, int, Tensor], Tensor]
"""From a kind of part, its layer and its value to the value that the run goes on with."""


@cache
def precise_model(architecture: str) -> HookedModel:
    """A small model that computes in float64 throughout; tests leave it as it is."""
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


@lru_cache(maxsize=2)
def parts_of(model: HookedModel, pairs: PromptPairs) -> tuple[Values, Values]:
    """The parts of the clean and of the corrupted run."""
    clean, corrupt = (run_with(model, tokens, lambda *given: given[2])[1] for tokens in (pairs.clean, pairs.corrupt))
    return clean, corrupt


def slopes_of_nodes(
    model: HookedModel, pairs: PromptPairs, nodes: Sequence[Node], position: int | None = None
) -> np.ndarray:
    """Slope at the corrupted run as each node alone moves to its clean value, at one position or all, shape [node]."""
    slopes: list[float] = []
    for site, group in groupby(nodes, key=lambda node: (node.kind, node.layer)):
        moves = [_move_of_node(model, pairs, node, position) for node in group]

        def change(shifts: Tensor, site: tuple[str, int] = site) -> Change:
            return lambda kind, layer, x: x + shifts if (kind, layer) == site else x

        slopes += central_differences(model, pairs, moves, change)
    return np.array(slopes)


def _move_of_node(model: HookedModel, pairs: PromptPairs, node: Node, position: int | None) -> Tensor:
    """The change of a site's values from the corrupted to the clean run, at one node."""
    clean, corrupt = parts_of(model, pairs)
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
    return move


def central_differences(
    model: HookedModel, pairs: PromptPairs, moves: Sequence[Tensor], change: Callable[[Tensor], Change]
) -> list[float]:
    """Slope of the logit difference along each move, all from one run on copies of the corrupted prompts.

    `change` makes a change of the run from the shifts of all copies: a step along each move, and the step back.
    """
    shifts = torch.cat([step * move for move in moves for step in (STEP, -STEP)])
    logits = run_with(model, pairs.corrupt.repeat(2 * len(moves), 1), change(shifts))[0]
    logits = logits.unflatten(0, (len(moves), 2, len(pairs)))
    rows = torch.arange(len(pairs))
    ends = (logits[..., rows, pairs.answer] - logits[..., rows, pairs.foil]).mean(-1)
    return ((ends[:, 0] - ends[:, 1]) / (2 * STEP)).tolist()


def slopes_of_edges(
    model: HookedModel, pairs: PromptPairs, edges: Sequence[tuple[int, int]], *, point: float = 0.0
) -> np.ndarray:
    """Slope of the metric as each writer's term in one reader's input moves by its change between the runs, [edge].

    Edges are pairs of the numbers of writer and reader; they run together where neighbours have the same reader. The
    slope is taken in the run whose embedding is at a point of the line from the corrupted (0) to the clean (1) one.
    """
    clean, corrupt = parts_of(model, pairs)
    embedding = torch.lerp(corrupt["embed", -1], clean["embed", -1], point)

    def begin(kind: str, layer: int, x: Tensor) -> Tensor:
        return embedding.repeat(len(x) // len(pairs), 1, 1) if kind == "embed" else x

    base = run_with(model, pairs.corrupt, begin)[1]
    slopes: list[float] = []
    for number, group in groupby(edges, key=lambda edge: edge[1]):
        sources, target = [model.graph.writers[writer] for writer, _ in group], model.graph.readers[number]
        moves = [clean[source.kind, source.layer] - corrupt[source.kind, source.layer] for source in sources]
        moves = [
            move[:, :, source.index] if source.kind == "head" else move
            for source, move in zip(sources, moves, strict=True)
        ]

        def change(shifts: Tensor, target: Node = target) -> Change:
            return lambda kind, layer, x: _read_again(model, target, kind, layer, begin(kind, layer, x), base, shifts)

        slopes += central_differences(model, pairs, moves, change)
    return np.array(slopes)


def _read_again(
    model: HookedModel, reader: Node, kind: str, layer: int, x: Tensor, base: Values, shift: Tensor
) -> Tensor:
    """A part's value if its reader's input is shifted; up to the reader the run is the base run."""
    if reader.kind == "logits":
        return x + shift if (kind, layer) == ("resid_post", model.graph.n_layers - 1) else x
    if (kind, layer) != (reader.kind, reader.layer):
        return x
    block = model.decoder.blocks[layer]
    read = base["resid_mid" if kind == "mlp" and not block.parallel else "resid_pre", layer]
    shifted = read.repeat(len(shift) // len(read), 1, 1) + shift
    if kind == "mlp":
        return block.mlp_writes(shifted)
    projected = dict(zip("qkv", block.project(block.attention_norm(shifted)), strict=True))
    x = x.clone()
    x[:, :, reader.index] = projected[kind][:, :, reader.index]
    return x
