"""The tuned lens: an affine map for each layer takes the stream to what the last block would make of it.

1. Maps start as the least-squares fit of the final stream from the layer's stream, on prompts of their own.
2. Adam lowers the Kullback-Leibler divergence from the model's final distribution to the lens's.
3. The map with the lowest divergence on the fourth of the prompts that was set aside is kept; the logit lens itself,
   the identity, is one of the candidates. So on these prompts no map is worse than the logit lens.

Only stream sites have a map of their own (`resid_pre`, `resid_mid`, `resid_post`); at other sites it refuses to read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Lens, LensReading
from interp_emerge.probing.engines.least_squares import cholesky

STREAMS = ("resid_pre", "resid_mid", "resid_post")
STEPS, RATE, WEIGHT = 40, 1e-3, 1e-2
"""Steps and rate of Adam, and the regularisation of the least-squares start, relative to the mean variance."""
MOST_ROWS = 2048
"""Positions that the maps are trained on; more are left out."""


def prepare(model: HookedModel, prompts: Sequence[Tensor]) -> LensReading:
    """A lens trained on all positions of some prompts, groups of [prompt, pos]."""
    return TunedLens(model, prompts)


class TunedLens:
    """Affine maps of the stream, trained when a layer is first read."""

    def __init__(self, model: HookedModel, prompts: Sequence[Tensor]) -> None:
        n = sum(map(len, prompts))
        if n < 8:
            raise InputError(f"a tuned lens needs at least 8 prompts to train on and to choose by, not {n}")
        self.model, self.maps = model, dict[str, tuple[Tensor, Tensor]]()
        self._fitted, self._chosen = _divided(prompts)
        self._streams: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, values: Tensor, kind: str, layer: int) -> Tensor:
        """Logits of all tokens, shape [prompt, d_vocab]."""
        if kind not in STREAMS:
            raise InputError(
                f"the tuned lens reads the stream ({', '.join(STREAMS)}), not {kind}; use logit_lens there"
            )
        name = f"{kind}.{layer}"
        if name not in self.maps:
            self.maps[name] = self._train(name)
        return _read(self.model, values.float(), *self.maps[name]).detach()

    def _read_streams(self) -> dict[str, tuple[Tensor, Tensor]]:
        if not self._streams:
            fitted, chosen = (_streams_of(self.model, prompts) for prompts in (self._fitted, self._chosen))
            self._streams = {name: (fitted[name], chosen[name]) for name in fitted}
        return self._streams

    def _train(self, name: str) -> tuple[Tensor, Tensor]:
        """Weight, shape [d_model, d_model], and bias, [d_model], of one site."""
        streams = self._read_streams()
        rows, held = streams[name]
        final = streams[f"resid_post.{len(self.model.decoder.blocks) - 1}"]
        with torch.no_grad():
            truth = [log_softmax(self.model.decoder.logits(part.to(self.model.dtype)).float(), -1) for part in final]
        identity = torch.eye(rows.shape[-1], device=rows.device), rows.new_zeros(rows.shape[-1])
        start = _least_squares(rows, final[0])
        candidates = [identity, start]
        weight, bias = (one.clone().requires_grad_() for one in start)
        optimiser = torch.optim.Adam([weight, bias], lr=RATE)
        with torch.enable_grad():
            for _ in range(STEPS):
                loss = _divergence(truth[0], _read(self.model, rows, weight, bias))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        candidates.append((weight.detach(), bias.detach()))
        with torch.no_grad():
            losses = [float(_divergence(truth[1], _read(self.model, held, *one))) for one in candidates]
        return candidates[losses.index(min(losses))]


def _divided(prompts: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Prompts to fit on, and a quarter to choose by, in groups of one length; drawn at random up to `MOST_ROWS`."""
    lengths = torch.cat([torch.full((len(group),), group.shape[1]) for group in prompts])
    drawn = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0))
    n = max(8, int((lengths[drawn].cumsum(0) <= MOST_ROWS).sum()))
    drawn = drawn[:n]
    cut = len(drawn) - max(2, len(drawn) // 4)

    def groups(wanted: Tensor) -> list[Tensor]:
        starts = torch.tensor([0, *map(len, prompts)]).cumsum(0)
        return [group[wanted[(wanted >= start) & (wanted < start + len(group))] - start]
                for group, start in zip(prompts, starts.tolist(), strict=False)]  # fmt: skip

    return groups(drawn[:cut]), groups(drawn[cut:])


@torch.no_grad()
def _streams_of(model: HookedModel, prompts: Sequence[Tensor]) -> dict[str, Tensor]:
    """The stream at every site and position of some prompts, shape [position of a prompt, d_model]."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str, value: Tensor) -> None:
        found.setdefault(name, []).append(value.flatten(0, 1).float())

    for tokens in prompts:
        if not len(tokens):
            continue
        stream = model.decoder.embed(tokens.to(model.device))
        for layer, block in enumerate(model.decoder.blocks):
            keep(f"resid_pre.{layer}", stream)
            z = block.attention.mix(*block.project(block.attention_norm(stream)))
            attended = stream + block.attention_writes(z)
            if not block.parallel:
                keep(f"resid_mid.{layer}", attended)
            stream = attended + block.mlp_writes(block.mlp_reads(stream, attended))
            keep(f"resid_post.{layer}", stream)
    return {name: torch.cat(values) for name, values in found.items()}


def _read(model: HookedModel, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return model.decoder.logits((values @ weight.T + bias).to(model.dtype)).float()


def _divergence(truth: Tensor, logits: Tensor) -> Tensor:
    return kl_div(log_softmax(logits, -1), truth, reduction="batchmean", log_target=True)


@torch.no_grad()
def _least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map from x to y, regularised towards leaving x as it is."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    covariance = centred.T @ centred / len(x)
    level = WEIGHT * covariance.diagonal().mean().clamp_min(1e-12)
    factor = cholesky(covariance[None], level[None])[0]
    cross = centred.T @ (y - y_mean - centred) / len(x)
    change = torch.cholesky_solve(cross.to(factor.dtype), factor).to(x.dtype)
    weight = torch.eye(x.shape[1], device=x.device) + change.T
    return weight, y_mean - weight @ x_mean


shelf.add(
    Lens(
        name="tuned_lens",
        summary="an affine map of each layer's stream, trained to give the model's final distribution",
        source=Source("Belrose et al.", 2023, "https://arxiv.org/abs/2303.08112"),
        prepare=prepare,
        learns=True,
    )
)
