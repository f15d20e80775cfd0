"""What a head writes if it attends to a single token, and whether that raises the token's logit.

`written_for` sends a token's stream after the first block through each head's values and outputs. The token stands
alone behind the tokens that begin the model's prompts. Heads of the first layer get the embedding, which is all they
ever read.

Ties count against the head. Cost: the first block on the tokens, and an unembedding for each head and token.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.circuits.roles._head_weights import HeadWeights
from interp_emerge.circuits.roles.base import RoleTask
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

TOP = 5
"""A token counts as written if its logit is among so many highest."""
PROBES = 256
"""Largest number of random tokens."""
SAMPLE = 2048
"""Number of tokens whose logits show that a token is not among the first."""
ROUNDING = 0.02
"""By how much, as a share of the largest logit, another logit has to be higher to be certainly higher, however the two
were rounded. bfloat16 rounds by up to 0.004 of a number."""


def random_tokens(model: HookedModel, *, seed: int) -> Int[Tensor, " token"]:
    """Different ordinary tokens, drawn at random, at most 256."""
    ordinary = np.array(model.ordinary_ids)
    chosen = np.random.default_rng(seed).choice(ordinary, size=min(PROBES, len(ordinary)), replace=False)
    return torch.from_numpy(chosen)


@torch.no_grad()
def written_for(model: HookedModel, tokens: Int[Tensor, " token"]) -> Float[Tensor, "token head d_model"]:
    """What each head would write if it attended only to the token, up to a positive factor, heads layer by layer.

    Raises:
        InputError: a token is not in the vocabulary.
    """
    prompts = torch.cat([torch.tensor(model.bos, dtype=tokens.dtype).expand(len(tokens), -1), tokens[:, None]], 1)
    model.require_tokens(prompts)
    blocks, written = model.decoder.blocks, []
    with model.running():
        stream = model.decoder.embed(prompts)
        for layer, block in enumerate(blocks):
            v = block.project_one(block.v, block.attention_norm(stream[:, -1:]))
            alone = torch.ones(len(tokens), block.q.n_heads, 1, 1, device=v.device, dtype=v.dtype)
            z = block.attention.weigh(alone, v)[:, 0].float()
            written.append(torch.einsum("thv,hdv->thd", z, HeadWeights.of(block).o.float()))
            if layer == 0:
                q, k, v = block.project(block.attention_norm(stream))
                attended = stream + block.attention_writes(block.attention.mix(q, k, v))
                stream = attended + block.mlp_writes(block.mlp_reads(stream, attended))
    return torch.cat(written, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyScores:
    """Whether each token is among the 5 highest logits of a head's output, and of minus that output: 0 or 1.

    The first two are about the names that pairs ask for, the last about any tokens.
    """

    written: Float[np.ndarray, "token head"]
    written_against: Float[np.ndarray, "token head"]
    any_written_against: Float[np.ndarray, "other head"]


@torch.no_grad()
def copy_scores(task: RoleTask) -> CopyScores:
    """Copy scores of every head on the task's tokens.

    By default names are the answers and foils of the pairs, each as often as pairs ask for it, and other tokens are 256
    random ordinary ones, which also stand for the names if there are no pairs.

    Raises:
        InputError: a token is not in the vocabulary.
    """
    tokens = random_tokens(task.model, seed=task.seed) if task.tokens is None else task.tokens
    if task.tokens is not None or task.pairs is None:
        written, against = _copied(task.model, tokens)
        return CopyScores(written=written, written_against=against, any_written_against=against)
    names, place = torch.cat([task.pairs.answers[:, 0], task.pairs.foils[:, 0]]).unique(return_inverse=True)
    written, against = _copied(task.model, torch.cat([names, tokens]))
    return CopyScores(written=written[place], written_against=against[place], any_written_against=against[len(names) :])


def _copied(
    model: HookedModel, tokens: Int[Tensor, " token"]
) -> tuple[Float[np.ndarray, "token head"], Float[np.ndarray, "token head"]]:
    n_heads = model.graph.n_layers * model.graph.n_heads
    at_once = items_that_fit(12 * n_heads * model.d_model, len(tokens), device=model.device)
    found: dict[int, list[Tensor]] = {1: [], -1: []}
    for some in tqdm(tokens.split(at_once), desc="copy scores", delay=2, leave=False):
        written = written_for(model, some)
        for sign, parts in found.items():
            parts.append(among_the_first(model, sign * written, some.to(written.device)))
    written, against = (torch.cat(parts).cpu().double().numpy() for parts in found.values())
    return written, against


@torch.no_grad()
def among_the_first(
    model: HookedModel,
    written: Float[Tensor, "token head d_model"],
    tokens: Int[Tensor, " token"],
    *,
    screened: bool = True,
) -> Bool[Tensor, "token head"]:
    """Whether each token is among the 5 highest logits of what a head writes; a logit that is not finite is not.

    Most heads write a logit that is far from the highest, which a sample of the vocabulary shows: the logits of all
    tokens are computed only where at most 5 tokens of the sample are certainly higher. Without `screened` they are
    computed everywhere, with the same result.
    """
    rows, wanted = written.flatten(0, 1).to(model.dtype), tokens.repeat_interleave(written.shape[1])
    left = torch.arange(len(rows), device=rows.device)
    if screened and model.d_vocab > 2 * SAMPLE:
        left = left[_may_be_first(model, rows, wanted)]
    found = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    at_once = items_that_fit(16 * model.d_vocab, max(1, len(left)), device=model.device)
    for part in left.split(at_once):
        logits = model.decoder.logits(rows[part])
        own = logits.gather(1, wanted[part, None])
        found[part] = ((logits >= own).sum(1) <= TOP) & own.isfinite()[:, 0]
    return found.view(written.shape[:2])


def _may_be_first(
    model: HookedModel, rows: Float[Tensor, "row d_model"], wanted: Int[Tensor, " row"]
) -> Bool[Tensor, " row"]:
    """False where more than 5 tokens of a sample have a higher logit than the wanted token, beyond rounding."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randperm(model.d_vocab, generator=generator)[:SAMPLE].to(rows.device)
    decoder, found = model.decoder, []
    at_once = items_that_fit(16 * SAMPLE + 8 * model.d_model, len(rows), device=model.device)
    for part, token in zip(rows.split(at_once), wanted.split(at_once), strict=True):
        normed = decoder.final_norm(part)
        own = decoder.unembed(normed, token[:, None]).float()
        others = decoder.unembed(normed, sample).float()
        rounding = ROUNDING * torch.maximum(others.abs().amax(1, keepdim=True), own.abs())
        found.append((others > own + rounding).sum(1) <= TOP)
    return torch.cat(found)
