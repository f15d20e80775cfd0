"""Activations at sites, read in chunks of prompts, in memory or on disk.

A chunk of prompts is recorded (`caching.record`), what the sites need is taken out of it, and the rest is dropped. If
the activations of all sites together exceed the budget, they are kept in a temporary folder, one file a site, and read
back site by site. Fits read one block of sites at a time, so that memory does not grow with the number of sites.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import EMBED, Recording, bytes_per_prompt, mlp_name, record, z_name
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import BYTES_A_FLOAT, CPU_BUDGET, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.sites import HEADS, HIDDEN, Places, Site

Recorder = Callable[[HookedModel, Tensor], Recording]


class Activations:
    """Activations of some sites on the same prompts, in float32: `activations[site]` has shape [prompt, feature]."""

    def __init__(self, sites: Sequence[Site], n: int, *, in_memory: bool) -> None:
        self.sites, self.n = tuple(sites), n
        self._parts: dict[Site, list[Tensor]] = {site: [] for site in self.sites}
        self._widths: dict[Site, int] = {}
        self._order = torch.arange(n)
        self._folder = None if in_memory else TemporaryDirectory(prefix="interp-emerge-probing-")

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def on_disk(self) -> bool:
        """Whether the activations lie in a temporary folder."""
        return self._folder is not None

    def width(self, site: Site) -> int:
        """The number of features of a site."""
        return self._widths[site]

    def add(self, site: Site, values: Tensor) -> None:
        """Append the activations of the next prompts.

        Raises:
            InputError: a value is not finite.
        """
        values = values.detach().float()
        if not torch.isfinite(values).all():
            raise InputError(f"activations at {site.name} are not finite; check the model's dtype and weights")
        self._widths[site] = values.shape[-1]
        if self._folder is None:
            self._parts[site].append(values)
            return
        with self._path(site).open("ab") as file:
            file.write(values.cpu().contiguous().numpy().tobytes())

    def _path(self, site: Site) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / f"{self.sites.index(site)}.f32"

    def in_order_of(self, rows: Tensor) -> None:
        """Say to which prompts the rows belong that were added, shape [prompt]."""
        self._order = torch.argsort(rows)

    def __getitem__(self, site: Site) -> Tensor:
        if self._folder is None:
            joined = torch.cat(self._parts[site])
            self._parts[site] = [joined]
            return joined[self._order.to(joined.device)]
        found = torch.from_numpy(np.fromfile(self._path(site), dtype=np.float32).reshape(self.n, -1))
        in_order = torch.equal(self._order, torch.arange(self.n))
        return found if in_order else found[self._order]

    def blocks(self, bytes_each: int, budget: int, sites: Sequence[Site]) -> Iterator[tuple[list[Site], Tensor]]:
        """Neighbouring sites of one width that fit the budget together, and their activations, [site, prompt, feature].

        `bytes_each` is what a fit needs for one site besides its activations.
        """
        block: list[Site] = []
        for site in (*sites, None):
            fits = site is not None and (
                not block
                or (
                    self.width(site) == self.width(block[0])
                    and (len(block) + 1) * (bytes_each + 3 * BYTES_A_FLOAT * self.n * self.width(site)) <= budget
                )
            )
            if not fits:
                if block:
                    yield (
                        block,
                        self[block[0]][None] if len(block) == 1 else torch.stack([*map(self.__getitem__, block)]),
                    )
                block = []
            if site is not None:
                block.append(site)


@torch.no_grad()
def read_activations(
    model: HookedModel,
    pairs: PromptPairs,
    sites: Sequence[Site],
    places: Places,
    *,
    side: str = "clean",
    recorder: Recorder = record,
    budget: int | None = None,
) -> Activations:
    """Activations of the sites on the clean or corrupted prompts.

    Args:
        model: the model to run.
        pairs: the prompts.
        sites: where to read.
        places: indices of the positions that the sites name.
        side: `clean` or `corrupt`.
        recorder: gets the activations of a run; by default runs the model.
        budget: bytes that may be held in memory; beyond them the activations go to a temporary folder.

    Raises:
        InputError: an activation is not finite.
    """
    total = BYTES_A_FLOAT * len(pairs) * sum(_width(model, site) for site in sites)
    found = Activations(sites, len(pairs), in_memory=total <= (budget or CPU_BUDGET))
    wanted = _by_activation(sites)
    groups = [(rows, getattr(group, side)) for rows, group in pairs.by_length()]
    for rows, tokens in groups:
        each = bytes_per_prompt(model, tokens.shape[1])
        chunk = items_that_fit(each, len(tokens), device=model.device, budget=budget)
        starts = range(0, len(tokens), chunk)
        for start in tqdm(starts, desc="reading activations", delay=2, leave=False):
            part = slice(start, start + chunk)
            take = partial(_take, found, wanted, places, rows[part])
            with model.running():
                _walk(model, tokens[part], recorder(model, tokens[part]), {*wanted}, take)
    found.in_order_of(torch.cat([rows for rows, _ in groups]))
    return found


def _width(model: HookedModel, site: Site) -> int:
    shape = model.shape
    return shape.d_head if site.kind in HEADS else shape.d_inner if site.kind == HIDDEN else shape.d_model


def _by_activation(sites: Sequence[Site]) -> dict[tuple[str, int], list[Site]]:
    found: dict[tuple[str, int], list[Site]] = {}
    for site in sites:
        found.setdefault((site.kind, site.layer), []).append(site)
    return found


def _take(
    found: Activations,
    wanted: dict[tuple[str, int], list[Site]],
    places: Places,
    rows: Tensor,
    kind: str,
    layer: int,
    value: Tensor,
) -> None:
    """Keep what the sites of this kind and layer need of an activation, shape [prompt, pos, ...]."""
    for site in wanted.get((kind, layer), ()):
        index = places.index[site.position][rows].to(value.device)
        at = value[torch.arange(len(value), device=value.device), index]
        found.add(site, at if site.head is None else at[:, site.head])


def _walk(
    model: HookedModel, tokens: Tensor, kept: Recording, wanted: set[tuple[str, int]], take: Callable[..., None]
) -> None:
    """Pass every activation that is wanted of one recorded run to `take`, in the order of a run."""
    stream = kept.activations[EMBED].to(model.device)
    hidden = hidden_of_mlps(model, tokens, [layer for kind, layer in wanted if kind == HIDDEN])
    for layer, block in enumerate(model.decoder.blocks):
        take("resid_pre", layer, stream)
        if any((kind, layer) in wanted for kind in ("q", "k", "v")):
            for kind, value in zip("qkv", block.project(block.attention_norm(stream)), strict=True):
                take(kind, layer, value)
        z = kept.activations[z_name(layer)].to(model.device)
        take("z", layer, z)
        attended = block.attention_writes(z)
        take("attn_out", layer, attended)
        if not block.parallel:
            take("resid_mid", layer, stream + attended)
        written = kept.activations[mlp_name(layer)].to(model.device)
        if layer in hidden:
            take(HIDDEN, layer, hidden[layer])
        take("mlp_out", layer, written)
        stream = stream + attended + written
        take("resid_post", layer, stream)


def hidden_of_mlps(model: HookedModel, tokens: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
    """What the last matrix of each MLP reads, shape [prompt, pos, unit], by layer; read through `model.bridge`.

    Raises:
        InputError: TransformerLens does not name the hidden units of this architecture.
    """
    if not layers:
        return {}
    names = {f"blocks.{layer}.mlp.hook_post": layer for layer in layers}
    bridge: Any = model.bridge
    _, cache = bridge.run_with_cache(tokens.to(model.device), names_filter=[*names])
    missing = [name for name in names if name not in cache]
    if missing:
        raise InputError(f"TransformerLens has no {missing[0]} for {model.spec}, so its hidden units cannot be probed; "
                         "probe mlp_out instead")  # fmt: skip
    return {layer: cache[name] for name, layer in names.items()}
