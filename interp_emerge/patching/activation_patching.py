"""Activation patching: the exact effect of giving one node its clean value in the corrupt run.

1. The clean run is recorded.
2. `_patched_metric` repeats the corrupt prompts once for each node of a batch and replaces, in each copy, the output of
   its own node at every position.
3. The score is the metric's rise over the corrupt run.

Cost: one corrupt run a node, many nodes in one batch.
"""

import numpy as np
import torch
from torch import Tensor

from interp_emerge.caching.recording import EMBED, bytes_per_prompt, mlp_name, z_name
from interp_emerge.core.graph import Node
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import Hook, hooked
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Method, NodeScores, PatchingTask, require_ordinary_run


@torch.no_grad()
def run(task: PatchingTask) -> NodeScores:
    each = bytes_per_prompt(task.model, task.pairs.length) * len(task.pairs)
    size = items_that_fit(each, len(task.graph.writers), device=task.model.device, budget=task.budget)
    batches = [task.graph.writers[start : start + size] for start in range(0, len(task.graph.writers), size)]
    patched = torch.cat([_patched_metric(task, nodes) for nodes in batches])
    effects = patched - task.metric(task.corrupt.logits.to(patched.device))
    require_ordinary_run(effects, "activation_patching scores")
    return NodeScores(
        graph=task.graph, per_pair=np.ascontiguousarray(effects.T.cpu()), origin=task.origin("activation_patching")
    )


def _patched_metric(task: PatchingTask, nodes: tuple[Node, ...]) -> Tensor:
    """The metric with each node patched in its own copy of the corrupt prompts, shape [node, pair]."""
    n_pairs = len(task.pairs)
    copies = {node: slice(i * n_pairs, (i + 1) * n_pairs) for i, node in enumerate(nodes)}
    clean = task.clean.activations
    hooks: list[Hook] = []

    def put(module: torch.nn.Module, side: str, patches: list[tuple[slice, slice, Tensor]]) -> None:
        def replace(value: Tensor) -> Tensor:
            value = value.clone()
            for rows, features, source in patches:
                value[rows, :, features] = source[..., features].to(value)
            return value

        if patches:
            hooks.append((module, side, replace))

    everything = slice(None)
    for layer, block in enumerate(task.model.anatomy.blocks):
        if layer == 0:
            put(block.module, "input", [(copies[n], everything, clean[EMBED]) for n in nodes if n.kind == "embed"])
        d_head = block.q.features.shape[1]
        heads = [node for node in nodes if node.kind == "head" and node.layer == layer]
        mlps = [node for node in nodes if node.kind == "mlp" and node.layer == layer]
        put(
            block.attention_out,
            "input",
            [(copies[n], slice(n.index * d_head, (n.index + 1) * d_head), clean[z_name(layer)]) for n in heads],
        )
        put(block.mlp, "output", [(copies[n], everything, clean[mlp_name(layer)]) for n in mlps])
    with hooked(hooks):
        logits = task.model.logits(task.pairs.corrupt.repeat(len(nodes), 1))
    return task.metric(logits.unflatten(0, (len(nodes), n_pairs)))


shelf.add(
    Method(
        name="activation_patching",
        summary="exact rise of the metric when one node takes its clean value in the corrupt run (denoising)",
        source=Source("Vig et al.", 2020, "https://arxiv.org/abs/2004.12265"),
        scores="nodes",
        run=run,
    )
)
