"""Copy suppression: a head that attends to a token and lowers its logit (McDougall et al., 2023,
https://arxiv.org/abs/2310.04625).

The prompts repeat a random segment. At each position of the second pass, a head's output is a sum of terms, one for
each earlier position. The score is minus the first-order effect of each term on the logit of the token at that
position, relative to the mean over the vocabulary:

    − Σ_s A[q, s] · (W_O v_s) · ∂(logit of token s − mean logit)/∂stream_q

summed over the sources s before q and averaged over q, in nats. It is positive if the head lowers what it attends to.
Position q itself and the beginning of the text are not sources.

Two more things belong to it. The head attends to what is about to be predicted: the mean over its attention of the
logit that the stream before its layer gives to the token at s exceeds the even mean over sources. Sources with the
token at q itself are left out, since the stream holds that token whatever is predicted. And the head lowers most tokens
if it attends to them alone (`copy_scores`). Whether it helps depends on whether the prediction was right, so its effect
has either sign.

Cost: one forward pass on the prompts, a gradient of the last norm and of one logit for each position, the logits of the
prompt's tokens in each layer, and the cost of copy scores.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp_emerge.caching.recording import bytes_per_prompt, pattern_name, record, streams, z_name
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles._head_weights import HeadWeights
from interp_emerge.circuits.roles._writing import copy_scores
from interp_emerge.circuits.roles.base import MOSTLY, Aspect, Requirement, Role, RoleTask
from interp_emerge.circuits.roles.repeated import SEGMENT, repeated_segments, require_segments
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Suppression:
    """What every head does on each prompt, shape [prompt, head], in nats."""

    lowered: Float[np.ndarray, "prompt head"]
    """How much the head lowers the logits of the tokens that it attends to."""
    expected: Float[np.ndarray, "prompt head"]
    """How much higher the earlier layers' logits of these tokens are than those of the other tokens before."""


@torch.no_grad()
def suppression(task: RoleTask) -> Suppression:
    """What every head does on repeated segments.

    Raises:
        InputError: the vocabulary has too few ordinary tokens, or the context is too short.
    """
    model = task.model
    tokens = repeated_segments(model, seed=task.seed).to(model.device)
    outputs = [HeadWeights.of(block).o.float() for block in model.decoder.blocks]
    n_queries, width = SEGMENT - 1, model.d_model
    each = bytes_per_prompt(model, tokens.shape[1]) + 12 * n_queries * (2 * SEGMENT * width + model.d_vocab)
    at_once = items_that_fit(each, len(tokens), device=model.device)
    found = [_of_prompts(model, outputs, prompts) for prompts in tokens.split(at_once)]
    lowered, expected = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Suppression(lowered=lowered, expected=expected)


def score(found: Suppression) -> np.ndarray:
    return found.lowered


def _of_prompts(model: HookedModel, outputs: list[Tensor], prompts: Tensor) -> tuple[np.ndarray, np.ndarray]:
    recording, start, length = record(model, prompts, patterns=True), prompts.shape[1] - 2 * SEGMENT, prompts.shape[1]
    before = streams(model, recording)
    queries, sources = slice(start + SEGMENT, length - 1), slice(start, length - 1)
    directions = _logit_directions(model, before[-1][:, queries], prompts[:, sources])
    position = torch.arange(length, device=prompts.device)
    earlier = position[queries, None] > position[sources]
    others = earlier & (prompts[:, queries, None] != prompts[:, None, sources])
    scores, expected = [], []
    for layer, block in enumerate(model.decoder.blocks):
        v = block.project_one(block.v, block.attention_norm(before[layer]))
        each = torch.eye(length, device=v.device, dtype=v.dtype).expand(len(prompts), block.q.n_heads, -1, -1)
        values = block.attention.weigh(each, v)[:, sources].float()
        pattern = recording.activations[pattern_name(layer)][:, :, queries, sources].float() * earlier
        expected.append(_lean(pattern, _earlier_logits(model, before[layer][:, queries], prompts[:, sources]), others))
        if block.attention_post_norm.module is not None:
            written = block.attention_out(recording.activations[z_name(layer)][:, queries].flatten(2))
            pattern = pattern * block.attention_post_norm.scale(written)[:, None]
        for head, output in enumerate(outputs[layer]):
            raised = torch.einsum("pqsd,psd->pqs", directions, values[:, :, head] @ output.T)
            scores.append(-(pattern[:, head] * raised).sum(2).mean(1))
    lowered = torch.stack(scores, 1)
    return lowered.cpu().double().numpy(), torch.cat(expected, 1).cpu().double().numpy()


def _earlier_logits(
    model: HookedModel, stream: Float[Tensor, "prompt query d_model"], tokens: Int[Tensor, "prompt source"]
) -> Float[Tensor, "prompt query source"]:
    """Logits that a stream inside the model would give to the tokens."""
    return model.decoder.logits(stream, tokens[:, None].expand(-1, stream.shape[1], -1)).float()


def _lean(
    pattern: Float[Tensor, "prompt head query source"],
    logits: Float[Tensor, "prompt query source"],
    others: Bool[Tensor, "prompt query source"],
) -> Float[Tensor, "prompt head"]:
    """Mean logit over a head's attention less the even mean, both over the sources that count; mean over queries."""
    weights = pattern * others[:, None]
    by_attention = (weights * logits[:, None]).sum(3) / weights.sum(3).clamp_min(torch.finfo(weights.dtype).tiny)
    even = (logits * others).sum(2) / others.sum(2)
    return (by_attention - even[:, None]).mean(2)


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
        reads=suppression,
        score=score,
        expected_sign=None,
        require=require_segments,
        requirements=(
            Requirement(
                aspect=Aspect.ATTENTION,
                says="logit that earlier layers give to what it attends to, above that of other tokens,",
                reads=suppression,
                score=lambda found: found.expected,
                at_least=0.0,
                require=require_segments,
            ),
            Requirement(
                aspect=Aspect.WRITING,
                says="fraction of tokens that it lowers most if it attends to them alone",
                reads=copy_scores,
                score=lambda copied: copied.any_written_against,
                at_least=MOSTLY,
                needs="tokens",
            ),
        ),
    )
)
