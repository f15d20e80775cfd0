"""Roles that are read off what a head writes if it attends to one token alone.

`written_for` puts what a token is after the first block through each head's values and outputs: the token stands alone
after what is first in the model's prompts. Heads of the first layer are given the embedding, all that they ever read.

* `name_mover` and `negative_name_mover` (Wang et al., 2022, https://arxiv.org/abs/2211.00593: copy score): share of
  tokens for which the token is among the 5 highest logits of what the head writes, and of minus that. In [0, 1].
* `successor` (Gould et al., 2023, https://arxiv.org/abs/2312.09230): share of an ordered list's items, less the last,
  for which the next item has the highest logit among the list. In [0, 1].
* `copying_eigenvalues` (Elhage et al., 2021, https://transformer-circuits.pub/2021/framework/index.html): Σλ / Σ|λ|
  over the eigenvalues of W_U W_OV W_E, in [−1, 1]; 1 where every direction of tokens raises itself. The nonzero ones
  are those of the d_head × d_head matrix W_V (W_E W_U) W_O, where W_E W_U is d_model × d_model. Gains and centring of
  norms are folded in; their scales and biases, position embeddings, norms of embeddings and caps are left out.

Ties count against the head. Cost: the first block on the tokens, and an unembedding for each head and token; for
eigenvalues one product of the embedding with the unembedding.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.circuits.roles._head_weights import HeadWeights, read_through
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

TOP = 5
PROBES = 256
LEAST_ITEMS = 4
"""A list of fewer items says little about order."""
ORDERS = {
    "days": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "months": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "number words": (
        *("zero", "one", "two", "three", "four", "five", "six"),
        *("seven", "eight", "nine", "ten", "eleven", "twelve"),
    ),
    "digits": tuple(map(str, range(1, 31))),
    "letters": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}
"""Words in order. Of each list, the longest run of neighbours that the tokenizer writes as one token each is asked."""


def random_tokens(model: HookedModel, *, seed: int) -> Int[Tensor, " token"]:
    """Different ordinary tokens, at most 256."""
    ordinary = np.array(model.ordinary_ids)
    chosen = np.random.default_rng(seed).choice(ordinary, size=min(PROBES, len(ordinary)), replace=False)
    return torch.from_numpy(chosen)


def built_in_orders(model: HookedModel) -> list[list[int]]:
    """Token ids of those of `ORDERS` that have at least 4 neighbours as single tokens; none without a tokenizer."""
    runs = [_longest_run([model.lexicon.single_token(word) for word in words]) for words in ORDERS.values()]
    return [run for run in runs if len(run) >= LEAST_ITEMS]


@torch.no_grad()
def written_for(model: HookedModel, tokens: Int[Tensor, " token"]) -> Float[Tensor, "token head d_model"]:
    """What each head would write if it attended to the token alone, up to a positive factor, heads layer by layer.

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


@torch.no_grad()
def copy_scores(model: HookedModel, tokens: Int[Tensor, " token"]) -> dict[str, np.ndarray]:
    """`name_mover` and `negative_name_mover` of each token and head, 0 or 1, shape [token, head]."""
    signs = {"name_mover": 1, "negative_name_mover": -1}
    n_heads = model.graph.n_layers * model.graph.n_heads
    at_once = items_that_fit(12 * n_heads * model.d_model, len(tokens), device=model.device)
    found: dict[str, list[Tensor]] = {role: [] for role in signs}
    for some in tqdm(tokens.split(at_once), desc="copy scores", delay=2, leave=False):
        written = written_for(model, some)
        for role, sign in signs.items():
            found[role].append(_among_the_first(model, sign * written, some.to(written.device)))
    return {role: torch.cat(parts).cpu().double().numpy() for role, parts in found.items()}


@torch.no_grad()
def successor(model: HookedModel, orders: Sequence[Sequence[int]]) -> np.ndarray:
    """Whether the next item is on top of its list, 0 or 1, shape [item, head], over all lists.

    Raises:
        InputError: a list is too short or names a token twice, or a token is not in the vocabulary.
    """
    found = []
    for order in orders:
        if len(order) < 2 or len({*order}) < len(order):
            raise InputError(f"the ordered list {list(order)} needs at least 2 tokens, each once")
        items = torch.tensor(list(order))
        written = written_for(model, items)[:-1]
        among = items.to(written.device).expand(*written.shape[:2], -1)
        logits = model.decoder.logits(written.to(model.dtype), among)
        following = torch.arange(1, len(order), device=logits.device)[:, None, None].expand(-1, logits.shape[1], 1)
        found.append((logits >= logits.gather(2, following)).sum(2) == 1)
    return torch.cat(found).cpu().double().numpy()


@torch.no_grad()
def copying_eigenvalues(model: HookedModel) -> np.ndarray:
    """Σλ / Σ|λ| of each head's W_U W_OV W_E, shape [1, head]; NaN where all eigenvalues are zero.

    Raises:
        InputError: embeddings are not of the stream's width.
    """
    require_weights_of_tokens(model)
    embedding = model.hf.get_input_embeddings().weight.detach()
    unembedding = model.hf.get_output_embeddings().weight.detach()
    width = model.d_model
    n = min(len(embedding), len(unembedding))
    meeting = torch.zeros(width, width, device=model.device)
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


def _among_the_first(
    model: HookedModel, written: Float[Tensor, "token head d_model"], tokens: Int[Tensor, " token"]
) -> Bool[Tensor, "token head"]:
    """Whether each token is among the highest logits of what a head writes."""
    rows, wanted = written.flatten(0, 1).to(model.dtype), tokens.repeat_interleave(written.shape[1])
    at_once = items_that_fit(16 * model.d_vocab, len(rows), device=model.device)
    first = []
    for part, token in zip(rows.split(at_once), wanted.split(at_once), strict=True):
        logits = model.decoder.logits(part)
        first.append((logits >= logits.gather(1, token[:, None])).sum(1) <= TOP)
    return torch.cat(first).view(written.shape[:2])


def require_weights_of_tokens(model: HookedModel) -> None:
    """Raise an `InputError` unless tokens have weights of the stream's width on both sides of the model."""
    width = model.d_model
    for side in (model.hf.get_input_embeddings(), model.hf.get_output_embeddings()):
        if side.weight.shape[1] != width:
            raise InputError(f"embeddings of {model.spec} are {side.weight.shape[1]} wide and its stream {width}, so "
                             "its tokens have no eigenvalues of copying")  # fmt: skip


def _longest_run(ids: Sequence[int | None]) -> list[int]:
    """The longest stretch without a gap; of equally long ones the first."""
    runs: list[list[int]] = [[]]
    for token in ids:
        if token is None:
            runs.append([])
        else:
            runs[-1].append(token)
    return max(runs, key=len)
