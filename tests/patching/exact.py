"""Effects of nodes and edges from a slow model that is written out in the tests, without the package's methods."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.model import HookedModel
from tests.models.slow_model import SlowModel, Written

Edges = Sequence[tuple[str, str]]


def exact_nodes(model: HookedModel, pairs: PromptPairs) -> np.ndarray:
    """Rise of the logit difference when a writer takes its clean value in the corrupted run, shape [pair, writer]."""
    graph = model.graph
    readers = [np.array(graph.reader_names)[exists] for exists in graph.exists]
    cells = [[(writer, reader) for reader in read] for writer, read in zip(graph.writer_names, readers, strict=True)]
    return rises(model, pairs.corrupt, pairs.clean, pairs, cells)


def exact_edges(
    model: HookedModel, pairs: PromptPairs, *, direction: str = "denoising", at: Tensor | None = None
) -> np.ndarray:
    """Mean effect of each edge on the logit difference, positive where its clean value raises it, [writer, reader].

    With `at`, one position for each pair, the edge is exchanged only there.
    """
    graph = model.graph
    edges = [(graph.writer_names[writer], graph.reader_names[reader]) for writer, reader in np.argwhere(graph.exists)]
    own, other, sign = (pairs.clean, pairs.corrupt, -1) if direction == "noising" else (pairs.corrupt, pairs.clean, 1)
    effects = np.zeros(graph.exists.shape)
    effects[graph.exists] = sign * rises(model, own, other, pairs, [[edge] for edge in edges], at=at).mean(0)
    return effects


@torch.no_grad()
def rises(
    model: HookedModel, own: Tensor, other: Tensor, pairs: PromptPairs, cells: Sequence[Edges], at: Tensor | None = None
) -> np.ndarray:
    """Rise of the logit difference in the run `own` when each set of edges carries its values of the run `other`.

    Shape [pair, set]. All sets run together, each in its own copy of the prompts.
    """
    slow, metric = SlowModel(model.hf), bind_metric("logit_diff", model, pairs)
    elsewhere, before = slow.run(other)[1], metric(slow.run(own)[0])
    there = torch.ones(own.shape) if at is None else (torch.arange(own.shape[1]) == at[:, None]).float()

    def change(reader: str, written: Written) -> Tensor:
        total = torch.zeros_like(written["embed"]).unflatten(0, (len(cells), -1))
        for cell, edges in enumerate(cells):
            for writer, read_by in edges:
                if read_by == reader:
                    live = written[writer].unflatten(0, (len(cells), -1))[cell]
                    total[cell] += (elsewhere[writer] - live) * there[..., None]
        return total.flatten(0, 1)

    logits = slow.run(own.repeat(len(cells), 1), change)[0].unflatten(0, (len(cells), -1))
    return (metric(logits) - before).T.numpy()


def slow_eap(model: HookedModel, pairs: PromptPairs, *, direction: str = "denoising") -> np.ndarray:
    """Edge attribution by autograd: change of the writer times gradient at the reader, shape [writer, reader].

    The gradient is that of the corrupted run under denoising and that of the clean run under noising.
    """
    own, other, sign = (pairs.clean, pairs.corrupt, -1) if direction == "noising" else (pairs.corrupt, pairs.clean, 1)
    slow, graph = SlowModel(model.hf), model.graph
    probes: dict[str, Tensor] = {}

    def probe(reader: str, written: Written) -> Tensor:
        return probes.setdefault(reader, torch.zeros_like(written["embed"], requires_grad=True))

    logits, here = slow.run(own, probe)
    total = bind_metric("logit_diff", model, pairs)(logits).sum()
    found = torch.autograd.grad(total, [probes[name] for name in graph.reader_names])
    with torch.no_grad():
        there = slow.run(other)[1]
        change = sign * torch.stack([there[name] - here[name] for name in graph.writer_names])
        gradients = torch.stack(found)
        return torch.einsum("wbpd,rbpd->wr", change, gradients).numpy() / len(pairs) * graph.exists
