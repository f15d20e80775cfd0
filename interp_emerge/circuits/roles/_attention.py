"""Roles that are read off a random segment of distinct tokens said twice (Olsson et al., 2022,
https://arxiv.org/abs/2209.11895), on which nothing but position and repetition can be attended to.

* `previous_token`: attention to the token before, mean over positions. Fraction of attention.
* `duplicate_token`: attention, in the second pass, to the same token in the first. Fraction of attention.
* `induction`: attention, in the second pass, to the token after the same token in the first (prefix matching).
  Fraction of attention.
* `copying`: how far the head raises the logit of the token that induction predicts above the mean over the vocabulary,
  in the second pass: first-order effect of the head's output on the logits, in nats.

Cost: one forward pass on the prompts, and one gradient of the last norm and the unembedding for copying.
"""

import numpy as np
import torch
from torch import Tensor

from interp_emerge.caching.recording import Recording, record, streams, writer_outputs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

ROLES = ("previous_token", "duplicate_token", "induction", "copying")
"""The roles that a study measures."""
SEGMENT = 16
PROMPTS = 32


def repeated_segments(model: HookedModel, n: int = PROMPTS, *, seed: int = 0) -> Tensor:
    """Prompts of a random segment said twice after what is first in the model's prompts, shape [prompt, pos].

    Raises:
        InputError: the vocabulary has too few ordinary tokens.
    """
    ordinary = np.array(model.ordinary_ids)
    if len(ordinary) < SEGMENT:
        raise InputError(f"head roles need {SEGMENT} different ordinary tokens, {model.spec} has {len(ordinary)}")
    rng = np.random.default_rng(seed)
    segments = np.stack([rng.choice(ordinary, size=SEGMENT, replace=False) for _ in range(n)])
    first = np.full((n, len(model.bos)), model.bos or 0)
    tokens = torch.from_numpy(np.concatenate([first, segments, segments], axis=1))
    model.require_tokens(tokens)
    return tokens


@torch.no_grad()
def role_scores(model: HookedModel, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores of every head for each of `ROLES`, each shape [prompt, head], heads layer by layer."""
    tokens = repeated_segments(model, seed=seed)
    recording = record(model, tokens, patterns=True)
    patterns = recording.patterns(model.graph.n_layers).flatten(1, 2).float()
    start = tokens.shape[1] - 2 * SEGMENT
    second = torch.arange(start + SEGMENT, tokens.shape[1] - 1)
    everywhere = torch.arange(start + 1, tokens.shape[1])
    scores = {
        "previous_token": patterns[:, :, everywhere, everywhere - 1].mean(2),
        "duplicate_token": patterns[:, :, second, second - SEGMENT].mean(2),
        "induction": patterns[:, :, second, second - SEGMENT + 1].mean(2),
        "copying": _copying(model, recording, tokens, second),
    }
    return {role: scores[role].cpu().double().numpy() for role in ROLES}


def _copying(model: HookedModel, recording: Recording, tokens: Tensor, second: Tensor) -> Tensor:
    """Rise of the induced token's logit over the vocabulary's mean by each head's direct path, shape [prompt, head]."""
    final, aimed = streams(model, recording)[-1][:, second], tokens[:, second + 1].to(model.device)
    gradients = []
    with model.running(), torch.enable_grad():
        for stream, target in zip(final, aimed, strict=True):  # one prompt at a time: vocabularies are large
            normed = model.decoder.final_norm(stream).detach().requires_grad_()
            logits = model.decoder.unembed(normed, None)
            rise = logits.gather(1, target[:, None])[:, 0] - logits.mean(1)
            gradients.append(torch.autograd.grad(rise.sum(), normed)[0])
    direction = model.decoder.final_norm.pull_back(torch.stack(gradients), final)
    is_head = torch.tensor([node.kind == "head" for node in model.graph.writers])
    heads = writer_outputs(model, recording)[:, second][:, :, is_head]
    return torch.einsum("pqhd,pqd->phq", heads.float(), direction.float()).mean(2)
