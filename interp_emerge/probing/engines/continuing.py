"""Runs that begin at a changed site: earlier layers and earlier positions are those of a run that was made before.

A change at a site reaches the layers after it, at its own position and later ones. Keys and values of earlier positions
are kept. At the last position, one token a prompt runs. The gradients at all sites come from one run (`gradients_at`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.sites import HIDDEN, Places, Site

Visit = Callable[[str, int, Tensor], Tensor]
"""From a kind of activation, its layer and its value, shape [prompt, pos, ...], to the value that the run goes on with.
"""
Earlier = Callable[[int], tuple[Tensor, Tensor]]
"""From a layer to the keys and values of positions before those that run."""


class Continuation:
    """A run of some prompts of one length, ready to be continued from any site. Open while the model is `running`."""

    @torch.no_grad()
    def __init__(self, model: HookedModel, tokens: Tensor) -> None:
        self.model = model
        self._streams, self._keys, self._values = list[Tensor](), list[Tensor](), list[Tensor]()
        kept = {"resid_pre": self._streams, "k": self._keys, "v": self._values}

        def keep(kind: str, _layer: int, value: Tensor) -> Tensor:
            if kind in kept:
                kept[kind].append(value)
            return value

        stream = model.decoder.embed(tokens.to(model.device))
        self.end = _run_blocks(model, stream, keep)[:, -1]
        """The stream after the last block at the last position, shape [prompt, d_model]."""

    @property
    def nbytes(self) -> int:
        """Memory that the kept run takes."""
        return sum(value.nbytes for value in (*self._streams, *self._keys, *self._values))

    def last(self, site: Site, index: Tensor, values: Tensor, prompts: Tensor | None = None) -> Tensor:
        """The stream after the last block at the last position, with a site's activations replaced.

        Args:
            site: where.
            index: its position in each prompt, shape [prompt].
            values: what replaces the activations, shape [version, prompt, feature].
            prompts: which prompts of the run these are, shape [prompt]; by default all.

        Returns:
            Shape [version, prompt, d_model].
        """
        require_changeable(site)
        versions, rows = values.shape[:2]
        start = int(index.min())
        flat = values.flatten(0, 1)
        at = _at(site, (index.to(flat.device) - start).repeat(versions))

        def repeated(kept: Tensor) -> Tensor:
            kept = kept if prompts is None else kept[prompts.to(kept.device)]
            return kept.repeat(versions, *[1] * (kept.ndim - 1))

        def put(kind: str, layer: int, value: Tensor) -> Tensor:
            return value.index_put(at, flat.to(value.dtype)) if (kind, layer) == (site.kind, site.layer) else value

        def earlier(layer: int) -> tuple[Tensor, Tensor]:
            return repeated(self._keys[layer][:, :start]), repeated(self._values[layer][:, :start])

        stream = repeated(self._streams[site.layer][:, start:])
        end = _run_blocks(self.model, stream, put, first=site.layer, earlier=earlier if start else None)
        return end[:, -1].unflatten(0, (versions, rows))


def gradients_at(
    model: HookedModel, tokens: Tensor, sites: Sequence[Site], places: Places, metric: Callable[[Tensor], Tensor]
) -> dict[Site, Tensor]:
    """Gradients of a metric at sites of the unchanged run, shape [prompt, feature] each.

    Args:
        model: the model, `running`.
        tokens: prompts of one length, shape [prompt, pos].
        sites: where.
        places: the positions that the sites name, one for each of these prompts.
        metric: from the stream at the end, shape [prompt, d_model], to one value a prompt.
    """
    added: dict[Site, Tensor] = {}
    wanted: dict[tuple[str, int], list[Site]] = {}
    for site in sites:
        wanted.setdefault((site.kind, site.layer), []).append(site)

    def add_zero(kind: str, layer: int, value: Tensor) -> Tensor:
        for site in wanted.get((kind, layer), ()):
            width = value.shape[-1]
            added[site] = torch.zeros(len(tokens), width, dtype=value.dtype, device=value.device, requires_grad=True)
            index = places.index[site.position].to(value.device)
            value = value.index_put(_at(site, index), added[site], accumulate=True)
        return value

    with torch.enable_grad():
        end = _run_blocks(model, model.decoder.embed(tokens.to(model.device)), add_zero)[:, -1]
        found = torch.autograd.grad(metric(end).sum(), [added[site] for site in sites])
    return dict(zip(sites, found, strict=True))


def _at(site: Site, index: Tensor) -> tuple[Tensor, ...]:
    """Where a site's activations stand in a value of shape [prompt, pos, ...]."""
    rows = torch.arange(len(index), device=index.device)
    return (rows, index) if site.head is None else (rows, index, torch.full_like(rows, site.head))


def _run_blocks(
    model: HookedModel, stream: Tensor, visit: Visit, *, first: int = 0, earlier: Earlier | None = None
) -> Tensor:
    """The stream after the last block, from that before block `first`; each activation is visited on the way."""
    for layer in range(first, len(model.decoder.blocks)):
        block = model.decoder.blocks[layer]
        stream = visit("resid_pre", layer, stream)
        projected = block.project(block.attention_norm(stream))
        q, k, v = (visit(kind, layer, value) for kind, value in zip("qkv", projected, strict=True))
        if earlier is not None:
            k, v = (torch.cat(both, 1) for both in zip(earlier(layer), (k, v), strict=True))
        z = visit("z", layer, block.attention.mix(q, k, v))
        attended = stream + visit("attn_out", layer, block.attention_writes(z))
        if not block.parallel:
            attended = visit("resid_mid", layer, attended)
        written = visit("mlp_out", layer, block.mlp_writes(block.mlp_reads(stream, attended)))
        stream = visit("resid_post", layer, attended + written)
    return stream


def require_changeable(site: Site) -> None:
    """Raise an `InputError` unless activations of this kind can be replaced in a run of the parts."""
    if site.kind == HIDDEN:
        raise InputError(f"{HIDDEN} cannot be replaced, since a model's parts do not run inside an MLP; change mlp_out")
