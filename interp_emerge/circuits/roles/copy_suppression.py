"""Copy suppression: a head that attends to a token and lowers its logit (McDougall et al., 2023,
https://arxiv.org/abs/2310.04625).

The prompts repeat a random segment. At each position of the second pass, a head's output is a sum of terms, one for
each earlier position. The score is minus the first-order effect of each term on the logit of the token at that
position, relative to the mean over the vocabulary:

    − Σ_s A[q, s] · (W_O v_s) · ∂(logit of token s − mean logit)/∂stream_q

summed over the sources s before q and averaged over q, in nats. It is positive if the head lowers what it attends to.
Position q itself and the beginning of the text are not sources.

Cost: one forward pass on the prompts, and a gradient of the last norm and of one logit for each position.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp_emerge.caching.recording import bytes_per_prompt, pattern_name, record, streams, z_name
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._head_weights import HeadWeights
from interp_emerge.circuits.roles.base import Role, RoleTask
from interp_emerge.circuits.roles.repeated import SEGMENT, repeated_segments, require_segments
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


@torch.no_grad()
def score(task: RoleTask) -> np.ndarray:
    """Scores of every head on each prompt.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    model = task.model
    tokens = repeated_segments(model, seed=task.seed).to(model.device)
    outputs = [HeadWeights.of(block).o.float() for block in model.decoder.blocks]
    n_queries, width = SEGMENT - 1, model.d_model
    each = bytes_per_prompt(model, tokens.shape[1]) + 12 * n_queries * (2 * SEGMENT * width + model.d_vocab)
    at_once = items_that_fit(each, len(tokens), device=model.device)
    return np.concatenate([_of_prompts(model, outputs, prompts) for prompts in tokens.split(at_once)])


def _of_prompts(model: HookedModel, outputs: list[Tensor], prompts: Tensor) -> np.ndarray:
    recording, start, length = record(model, prompts, patterns=True), prompts.shape[1] - 2 * SEGMENT, prompts.shape[1]
    before = streams(model, recording)
    queries, sources = slice(start + SEGMENT, length - 1), slice(start, length - 1)
    directions = _logit_directions(model, before[-1][:, queries], prompts[:, sources])
    position = torch.arange(length, device=prompts.device)
    earlier = position[queries, None] > position[sources]
    scores = []
    for layer, block in enumerate(model.decoder.blocks):
        v = block.project_one(block.v, block.attention_norm(before[layer]))
        each = torch.eye(length, device=v.device, dtype=v.dtype).expand(len(prompts), block.q.n_heads, -1, -1)
        values = block.attention.weigh(each, v)[:, sources].float()
        pattern = recording.activations[pattern_name(layer)][:, :, queries, sources].float() * earlier
        if block.attention_post_norm.module is not None:
            written = block.attention_out(recording.activations[z_name(layer)][:, queries].flatten(2))
            pattern = pattern * block.attention_post_norm.scale(written)[:, None]
        for head, output in enumerate(outputs[layer]):
            raised = torch.einsum("pqsd,psd->pqs", directions, values[:, :, head] @ output.T)
            scores.append(-(pattern[:, head] * raised).sum(2).mean(1))
    return torch.stack(scores, 1).cpu().double().numpy()


def _logit_directions(
    model: HookedModel, final: Float[Tensor, "prompt query d_model"], tokens: Int[Tensor, "prompt source"]
) -> Float[Tensor, "prompt query source d_model"]:
    """Gradient of each token's logit minus the vocabulary's mean, with respect to the stream after all blocks."""
    decoder, found = model.decoder, []
    with model.running(), torch.enable_grad():
        normed = decoder.final_norm(final).detach().requires_grad_()
        mean = torch.autograd.grad(decoder.unembed(normed, None).float().mean(2).sum(), normed)[0]
        for token in tokens.T:
            logit = decoder.unembed(normed, token[:, None, None].expand(*final.shape[:2], 1))
            found.append(torch.autograd.grad(logit.sum(), normed)[0] - mean)
    return decoder.final_norm.pull_back(torch.stack(found, 2), final[:, :, None]).float()


shelf.add(
    Role(
        name="copy_suppression",
        summary="lowers the logits of the tokens that it attends to",
        source=Source("McDougall et al.", 2023, "https://arxiv.org/abs/2310.04625"),
        unit="nats",
        score=score,
        expected_sign=-1,
        require=require_segments,
    )
)
