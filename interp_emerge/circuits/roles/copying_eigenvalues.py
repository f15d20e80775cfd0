"""Eigenvalues of copying: Σλ / Σ|λ| over the eigenvalues of a head's W_U W_OV W_E, in [−1, 1]. It is 1 if every
direction of tokens raises itself.

The nonzero eigenvalues are those of the d_head × d_head matrix W_V (W_E W_U) W_O, where W_E W_U is d_model × d_model.
Gains and centring of norms are folded in. Scales and biases of norms, position embeddings, norms of embeddings and caps
are left out.

Cost: one product of the embedding with the unembedding.
"""

import numpy as np
import torch

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._head_weights import HeadWeights, read_through
from interp_emerge.circuits.roles.base import MOSTLY, Role, RoleTask
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.source import Source


@torch.no_grad()
def score(task: RoleTask) -> np.ndarray:
    """Scores of every head, as a single sample; NaN if all eigenvalues are zero.

    Raises:
        InputError: the width of the embeddings is not that of the stream.
    """
    require(task)
    model = task.model
    embedding = model.hf.get_input_embeddings().weight.detach()
    unembedding = model.hf.get_output_embeddings().weight.detach()
    width = model.d_model
    n = min(len(embedding), len(unembedding))
    meeting = torch.zeros(width, width, dtype=torch.float32, device=model.device)
    at_once = items_that_fit(16 * width, n, device=model.device)
    for e, u in zip(embedding[:n].split(at_once), unembedding[:n].split(at_once), strict=True):
        meeting += e.float().T @ read_through(model.decoder.final_norm, u).float()
    scores = []
    for block in model.decoder.blocks:
        weights = HeadWeights.of(block)
        v = weights.v.float().repeat_interleave(weights.group, 0)
        eigenvalues = torch.linalg.eigvals((v @ meeting @ weights.o.float()).double().cpu())
        scores.append((eigenvalues.real.sum(1) / eigenvalues.abs().sum(1)).numpy())
    return np.concatenate(scores)[None]


def require(task: RoleTask) -> None:
    """Raise an `InputError` unless embedding and unembedding have the width of the stream."""
    model = task.model
    for side in (model.hf.get_input_embeddings(), model.hf.get_output_embeddings()):
        if side.weight.shape[1] != model.d_model:
            raise InputError(f"embeddings of {model.spec} have width {side.weight.shape[1]} but its stream has width "
                             f"{model.d_model}, so copying has no eigenvalues")  # fmt: skip


shelf.add(
    Role(
        name="copying_eigenvalues",
        summary="its weights make tokens raise themselves",
        source=Source("Elhage et al.", 2021, "https://transformer-circuits.pub/2021/framework/index.html"),
        unit="Σλ/Σ|λ|",
        score=score,
        at_least=MOSTLY,
        require=require,
        no_score="the head's map from tokens to tokens is zero",
    )
)
