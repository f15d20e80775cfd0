"""Runs that begin at a changed site: earlier layers and earlier positions are those of a run that was made before.

A change at a site reaches the layers after it, at its own position and later ones. Keys and values of earlier positions
are kept. At the last position, one token a prompt runs.
"""

import torch
from torch import Tensor

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.sites import HIDDEN, Site


class Continuation:
    """A run of some prompts of one length, ready to be continued from any site. Open while the model is `running`."""

    @torch.no_grad()
    def __init__(self, model: HookedModel, tokens: Tensor) -> None:
        self.model, self.length = model, tokens.shape[1]
        stream = model.decoder.embed(tokens.to(model.device))
        self._streams, self._keys, self._values = [stream], list[Tensor](), list[Tensor]()
        for block in model.decoder.blocks:
            q, k, v = block.project(block.attention_norm(stream))
            self._keys.append(k)
            self._values.append(v)
            attended = stream + block.attention_writes(block.attention.mix(q, k, v))
            stream = attended + block.mlp_writes(block.mlp_reads(stream, attended))
            self._streams.append(stream)

    def last(self, site: Site, index: Tensor, values: Tensor) -> Tensor:
        """The stream after the last block at the last position, with a site's activations replaced.

        Args:
            site: where.
            index: its position in each prompt, shape [prompt].
            values: what replaces the activations, shape [version, prompt, feature].

        Returns:
            Shape [version, prompt, d_model].
        """
        require_changeable(site)
        versions, rows = values.shape[:2]
        start = int(index.min())
        flat = values.flatten(0, 1)
        at = (torch.arange(len(flat), device=flat.device), (index.to(flat.device) - start).repeat(versions))

        def put(kind: str, value: Tensor) -> Tensor:
            if kind != site.kind:
                return value
            value = value.clone()
            if site.head is None:
                value[at] = flat.to(value.dtype)
            else:
                value[(*at, torch.full_like(at[0], site.head))] = flat.to(value.dtype)
            return value

        def same(_: str, value: Tensor) -> Tensor:
            return value

        stream = self._streams[site.layer][:, start:].repeat(versions, 1, 1)
        for layer in range(site.layer, len(self._keys)):
            block, here = self.model.decoder.blocks[layer], put if layer == site.layer else same
            stream = here("resid_pre", stream)
            q, k, v = block.project(block.attention_norm(stream))
            q, k, v = here("q", q), here("k", k), here("v", v)
            if start:
                k = torch.cat([self._keys[layer][:, :start].repeat(versions, 1, 1, 1), k], 1)
                v = torch.cat([self._values[layer][:, :start].repeat(versions, 1, 1, 1), v], 1)
            z = here("z", block.attention.mix(q, k, v))
            attended = stream + here("attn_out", block.attention_writes(z))
            if not block.parallel:
                attended = here("resid_mid", attended)
            written = here("mlp_out", block.mlp_writes(block.mlp_reads(stream, attended)))
            stream = here("resid_post", attended + written)
        return stream[:, -1].unflatten(0, (versions, rows))


def require_changeable(site: Site) -> None:
    """Raise an `InputError` unless activations of this kind can be replaced in a run of the parts."""
    if site.kind == HIDDEN:
        raise InputError(f"{HIDDEN} cannot be replaced, since a model's parts do not run inside an MLP; change mlp_out")
