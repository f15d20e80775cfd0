"""Effects of nodes and edges by running the model anew for each: slow, and by no method of the package."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities._metrics import bind_metric
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.core.model import HookedModel
from tests.core.slow_model import SlowModel, Written


@torch.no_grad()
def exact_nodes(model: HookedModel, pairs: PromptPairs) -> np.ndarray:
    """Rise of the logit difference when each writer takes its clean value in the corrupt run, shape [pair, writer]."""
    graph, rise = model.graph, _rise(model, pairs)
    edges = [[(writer, reader) for reader in graph.reader_names] for writer in graph.writer_names]
    return torch.stack([rise(from_one_writer) for from_one_writer in edges], 1).numpy()


@torch.no_grad()
def exact_edges(model: HookedModel, pairs: PromptPairs) -> np.ndarray:
    """Mean rise of the logit difference when one edge takes its clean value in the corrupt run, [writer, reader]."""
    graph, rise = model.graph, _rise(model, pairs)
    effects = np.zeros(graph.exists.shape)
    for writer, reader in np.argwhere(graph.exists):
        effects[writer, reader] = rise([(graph.writer_names[writer], graph.reader_names[reader])]).mean()
    return effects


def slow_eap(model: HookedModel, pairs: PromptPairs) -> np.ndarray:
    """Edge attribution by autograd: change of the writer times gradient at the reader, shape [writer, reader]."""
    slow, graph = SlowModel(model.hf), model.graph
    probes: dict[str, Tensor] = {}

    def probe(reader: str, written: Written) -> Tensor:
        return probes.setdefault(reader, torch.zeros_like(written["embed"], requires_grad=True))

    logits, corrupt = slow.run(pairs.corrupt, probe)
    total = bind_metric("logit_diff", model, pairs)(logits).sum()
    found = torch.autograd.grad(total, [probes[name] for name in graph.reader_names])
    with torch.no_grad():
        clean = slow.run(pairs.clean)[1]
        change = torch.stack([clean[name] - corrupt[name] for name in graph.writer_names])
        gradients = torch.stack(found)
        return torch.einsum("wbpd,rbpd->wr", change, gradients).numpy() / len(pairs) * graph.exists


def _rise(model: HookedModel, pairs: PromptPairs) -> Callable[[list[tuple[str, str]]], Tensor]:
    """The rise of the metric in the corrupt run, as a function of the edges that take their clean value in it."""
    slow, metric = SlowModel(model.hf), bind_metric("logit_diff", model, pairs)
    clean, corrupt = slow.run(pairs.clean)[1], metric(slow.run(pairs.corrupt)[0])

    def with_clean(edges: list[tuple[str, str]]) -> Tensor:
        def change(reader: str, written: Written) -> Tensor:
            restored = [clean[writer] - output for writer, output in written.items() if (writer, reader) in edges]
            return sum(restored, start=torch.zeros_like(written["embed"]))

        return metric(slow.run(pairs.corrupt, change)[0]) - corrupt

    return with_clean
