"""Copying: how much a head raises the logit of the token that induction predicts, relative to the mean over the
vocabulary, in the second pass. The score is the first-order effect of the head's output by its direct path, in nats.

Cost: one gradient of the last norm and the unembedding.
"""

import numpy as np
import torch

from interp_emerge.caching.recording import streams, writer_outputs
from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Role
from interp_emerge.circuits.roles.repeated import RepeatedRun, repeated_run, require_segments
from interp_emerge.core.source import Source


@torch.no_grad()
def score(run: RepeatedRun) -> np.ndarray:
    model, second = run.model, run.second
    final, aimed = streams(model, run.recording)[-1][:, second], run.tokens[:, second + 1].to(model.device)
    gradients = []
    with model.running(), torch.enable_grad():
        for stream, target in zip(final, aimed, strict=True):  # one prompt at a time: vocabularies are large
            normed = model.decoder.final_norm(stream).detach().requires_grad_()
            logits = model.decoder.unembed(normed, None)
            rise = logits.gather(1, target[:, None])[:, 0] - logits.mean(1)
            gradients.append(torch.autograd.grad(rise.sum(), normed)[0])
    direction = model.decoder.final_norm.pull_back(torch.stack(gradients), final)
    is_head = torch.tensor([node.kind == "head" for node in model.graph.writers])
    heads = writer_outputs(model, run.recording)[:, second][:, :, is_head]
    raised = torch.einsum("pqhd,pqd->phq", heads.float(), direction.float()).mean(2)
    return raised.cpu().double().numpy()


shelf.add(
    Role(
        name="copying",
        summary="raises the logit of the token that induction predicts",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        unit="nats",
        reads=repeated_run,
        score=score,
        require=require_segments,
    )
)
