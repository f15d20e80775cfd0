"""How a subspace lies to what the model reads: the metric's gradient, and the maps of the layers that read a site.

1. *Alignment* is the share of the metric's gradient at a site that lies in the subspace. For random directions of a
   space of d dimensions the share of k of them has a Beta(k / 2, (d − k) / 2) distribution, which gives the p-value.
2. Makelov et al. (2023, https://arxiv.org/abs/2311.17030) show that an exchange along a direction can work through its
   part in the null space of all that reads the site, which is causally disconnected, together with a part that is
   dormant. *Null share* is the part of the subspace in that null space. A stream that is read by more features than it
   has dimensions has none.
"""

import torch
from torch import Tensor

from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.sites import Site

SMALLEST = 1e-3
"""Singular value, as a fraction of the largest, below which a direction is not read."""


def alignment(subspace: Tensor, gradients: Tensor) -> tuple[float, float, float]:
    """Share of the gradients, [prompt, feature], in a subspace; that of random directions; and its p-value."""
    from scipy.stats import beta

    width, rank = subspace.shape
    if rank >= width or not bool(gradients.any()):
        return float("nan"), rank / width, float("nan")
    mean = gradients.mean(0)
    share = float((mean @ subspace).square().sum() / mean.square().sum().clamp_min(1e-30))
    return share, rank / width, float(beta.sf(share, rank / 2, (width - rank) / 2))


class NullSpaces:
    """Directions at each site of a model that nothing reads, found once for each layer.

    Heads' outputs are read by the output matrix; queries, keys and values enter attention as a whole. The stream is
    read by the attention of later layers and by the unembedding, through norms. MLPs read it too, and the parts of a
    model do not show by which directions. So for the stream the null space is an upper bound.
    """

    def __init__(self, model: HookedModel) -> None:
        self._model = model
        self._unread: dict[tuple[str, int, int], Tensor] = {}
        self._grams: list[Tensor] = []

    @torch.no_grad()
    def share(self, site: Site, subspace: Tensor) -> float:
        """The mean share of a subspace's directions that nothing reads."""
        if site.kind in ("q", "k", "v"):
            return 0.0
        in_stream = site.kind != "z"
        first = site.layer + (site.kind != "resid_pre")
        key = ("stream", first, 0) if in_stream else ("z", site.layer, site.head or 0)
        if key not in self._unread:
            self._unread[key] = _null_space(
                self._stream(first) if in_stream else self._head(site.layer, site.head or 0)
            )
        unread, directions = self._unread[key], subspace.double()
        return float((unread.T @ directions).square().sum() / directions.shape[1]) if unread.shape[1] else 0.0

    def _head(self, layer: int, head: int) -> Tensor:
        block = self._model.decoder.blocks[layer]
        written = block.attention_out.weight().unflatten(1, (block.q.n_heads, -1))[:, head].double()
        return written.T @ written

    def _stream(self, first: int) -> Tensor:
        """Sum of the outer products of all that reads the stream from this layer on."""
        if not self._grams:
            decoder = self._model.decoder
            eye = torch.eye(self._model.d_model, device=self._model.device, dtype=self._model.dtype)
            unembed = (decoder.unembed(eye, None) - decoder.unembed(torch.zeros_like(eye), None)).float()
            found = [_through(unembed @ unembed.T, decoder.final_norm.gain)]
            for block in reversed(decoder.blocks):
                weights = torch.cat([side.weight().flatten(0, 1).float() for side in (block.q, block.k, block.v)])
                found.append(found[-1] + _through(weights.T @ weights, block.attention_norm.gain))
            self._grams = found[::-1]
        return self._grams[first]


def _through(gram: Tensor, gain: Tensor | None) -> Tensor:
    wide = gram.double()
    return wide if gain is None else gain.double()[:, None] * wide * gain.double()


def _null_space(gram: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(gram)
    return vectors[:, values <= SMALLEST**2 * values.amax()]
