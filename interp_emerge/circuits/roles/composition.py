"""Composition scores: how much of what a head reads could come from an earlier head's output, judged by weights alone.

Source: Elhage et al., 2021, https://transformer-circuits.pub/2021/framework/index.html. For a writer with
W_OV = W_O W_V and a later head that reads through a matrix W,

    composition = ‖W W_OV‖_F / (‖W‖_F ‖W_OV‖_F)

with W = W_QKᵀ for the head's queries (Q), W_QK for its keys (K) and W_OV for its values (V), where attention scores
are x_qᵀ W_QK x_k. The score has no unit and no sign and lies in [0, 1]. Under grouped queries a key or value is one
reader: W stacks the matrices of all heads that share it.

1. `HeadWeights.of` folds the norms' gains and centring into the weights.
2. `_triangle` shrinks every tall factor to a d_head × d_head one with the same norm: if A = QR, ‖A X‖_F = ‖R X‖_F. So
   no d_model × d_model matrix is formed, and a pair of layers needs one product of d_head × d_model × d_head for each
   pair of heads.

The baseline is the root mean square of the score if the writer's output is rotated at random. For any W and W_OV and a
uniformly random rotation U, E‖W U W_OV‖²_F = ‖W‖²_F ‖W_OV‖²_F / d_model, so it is 1/√d_model for every pair. Elhage et
al. draw random matrices of the same shapes and subtract the mean of their scores, which is slightly below that.

Left out are rotary embeddings and norms of queries and keys (Qwen 3, Gemma 3, OLMo 2, Phi), scales of norms, biases,
position embeddings, and the MLPs between the heads. A high score says that two heads can compose, not that they do so
on some prompt. To compare with measured edges, merge the two tables:
`composition_scores(model).merge(edges.to_frame(), on=["writer", "reader"])`.

Cost: no forward pass. Memory: a copy of the attention weights in float32.
"""

from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.circuits.roles._head_weights import HeadWeights
from interp_emerge.core.arguments import checked
from interp_emerge.core.graph import Node
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

Kind = Literal["q", "k", "v"]
KINDS: tuple[Kind, ...] = ("q", "k", "v")
COLUMNS = ["writer", "reader", "kind", "composition", "baseline"]


@checked
@torch.no_grad()
def composition_scores(model: HookedModel, *, budget: int | None = None) -> pd.DataFrame:
    """One row for each head and each query, key or value of a later layer.

    Columns `writer`, `reader`, `kind` (Q, K or V), `composition` and `baseline`, the root mean square of the score
    under random rotations. The score is NaN if one of the two matrices is zero. Rows follow the order of the graph's
    edges.

    Example:
        >>> ie.circuits.roles.composition_scores(model).nlargest(3, "composition")

    Args:
        model: the model whose weights are read.
        budget: bytes that a pair of layers may need; by default a constant for the kind of device.

    Raises:
        ModelError: the architecture cannot be split into heads.
        InputError: one writer needs more memory than the budget.
    """
    layers = [_Layer(HeadWeights.of(block)) for block in model.decoder.blocks]
    graph, baseline = model.graph, model.d_model**-0.5
    writers = {node: index for index, node in enumerate(graph.writers)}
    readers = {node: index for index, node in enumerate(graph.readers)}
    rows: list[tuple[int, int, str, float]] = []
    for later in tqdm(range(1, graph.n_layers), desc="composition", delay=2, leave=False):
        for earlier in range(later):
            for kind in KINDS:
                scores = layers[later].reading(layers[earlier], kind, budget=budget).double().cpu().tolist()
                for head, of_head in enumerate(scores):
                    writer = writers[Node(earlier, "head", head)]
                    for index, score in enumerate(of_head):
                        rows.append((writer, readers[Node(later, kind, index)], kind.upper(), score))
    names = graph.writer_names, graph.reader_names
    named = [
        (names[0][writer], names[1][reader], kind, score, baseline) for writer, reader, kind, score in sorted(rows)
    ]
    return pd.DataFrame(named, columns=pd.Index(COLUMNS))


class _Layer:
    """One layer's heads as writers and as readers, each in factors of d_head."""

    def __init__(self, weights: HeadWeights) -> None:
        self.weights = weights
        q, k, v, o = (_triangle(tall) for tall in (weights.q.mT, weights.k.mT, weights.v.mT, weights.o))
        shared = weights.group
        grouped = [one.unflatten(0, (-1, shared)).flatten(1, 2) for one in (q, o)]
        self.right = v.repeat_interleave(shared, 0).mT
        self.readers = {
            "q": (k.repeat_interleave(shared, 0), weights.q),
            "k": (grouped[0], weights.k),
            "v": (grouped[1], weights.v),
        }
        self.size = _norm(o @ self.right)
        itself = {"q": q, "k": k, "v": v}
        self.read_size = {kind: _norm(left @ itself[kind].mT) for kind, (left, _) in self.readers.items()}

    def reading(self, earlier: "_Layer", kind: Kind, *, budget: int | None) -> Float[Tensor, "head reader"]:
        """The composition of each head of an earlier layer with each reader of this one."""
        left, read = self.readers[kind]
        d_value = earlier.right.shape[-1]
        each = 2 * 4 * len(read) * d_value * (read.shape[1] + left.shape[1])
        at_once = items_that_fit(each, len(earlier.right), device=read.device, budget=budget, what="one writer")
        parts = []
        for outputs, right in zip(earlier.weights.o.split(at_once), earlier.right.split(at_once), strict=True):
            met = torch.einsum("rhd,wdv->wrhv", read, outputs)
            parts.append(_norm(left @ met @ right[:, None]))
        return torch.cat(parts) / (earlier.size[:, None] * self.read_size[kind])


def _triangle(tall: Float[Tensor, "head row column"]) -> Float[Tensor, "head size column"]:
    """A smaller matrix R with ‖R X‖_F = ‖tall X‖_F for every X."""
    return torch.linalg.qr(tall, mode="r").R if tall.shape[1] > tall.shape[2] else tall


def _norm(matrices: Float[Tensor, "*matrix row column"]) -> Float[Tensor, "*matrix"]:
    return torch.linalg.matrix_norm(matrices)
