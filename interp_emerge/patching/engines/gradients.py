"""The decoder run part by part, the gradient of a metric at its parts, and what that gradient is for every reader.

1. `run_from` runs the decoder from a residual stream, at the bottom or further up, and keeps every part by its site.
2. `gradients_at` takes one backward pass to the sites that are asked for.
3. `ReaderGradients` takes the gradients at the queries, keys and values of a layer on through their weights and the
   norm before them, to the residual stream, each reader for itself. The Jacobian of a norm at x, transposed, is
   s · (C G a − u (u · C G a) / d), with s the scale, G the gain, C the centring and u the normalised x. s is applied to
   the short vectors of a head and C G to the weights. u · C G a is the gradient g at the projection's output times
   W G u, which is that output less a constant. One pass over the wide vectors is left.

Cost: one forward and one backward pass of the blocks that are run, the last of them at the last position only, and the
logits that the metric reads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_emerge.abilities.metrics import BoundMetric
from interp_emerge.core.agreement import Reach
from interp_emerge.core.decoder import Block, Decoder, Norm, Projection
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

Site = tuple[str, int]
"""A kind of part and its layer. `resid_pre` of the layer after the last is the stream that the logits read."""
Parts = dict[Site, Tensor]
PROJECTIONS = ("q", "k", "v")
REACHED = ("q", "k", "head", "mlp", "resid_pre")
"""Parts whose sizes decide whether prompts go beyond those on which the decoder has been compared with the model."""
Arrange = Callable[[Tensor], Tensor]
"""From [pair, pos, ...] to [row, inner, ...]: what is kept apart, and the positions that are summed over within it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a run from some point of the decoder made.

    Sites: `resid_pre`, `resid_mid`, `q`, `k`, `v` (projections' outputs), `head` (heads' z), `attention` and `mlp`
    (what they add to the stream), `mlp_in` (the stream as the MLP alone reads it). What the last block makes at other
    positions than the last is not computed: it stands as zero, and so is its gradient.
    """

    decoder: Decoder
    parts: Parts

    def value(self, metric: BoundMetric) -> Tensor:
        """The metric on each pair."""
        tokens, metric = metric.reading()
        end = self.parts["resid_pre", len(self.decoder.blocks)][:, -1]
        return metric(self.decoder.logits(end, None if tokens is None else tokens.to(end.device)))


def run_from(decoder: Decoder, stream: Tensor, *, first: int = 0, midway: bool = False) -> Run:
    """Run the decoder from the stream before block `first`, or, `midway`, from that before its MLP."""
    parts: Parts = {}
    for layer, block in enumerate(decoder.blocks[first:], first):
        # The logits hear nothing of what the last block writes elsewhere.
        heard = slice(-1, None) if layer == len(decoder.blocks) - 1 else slice(None)
        if midway and layer == first:
            attended = parts["resid_mid", layer] = stream
        else:
            parts["resid_pre", layer] = stream
            q, k, v = block.project(block.attention_norm(stream))
            z = block.attention.mix(q[:, heard], k, v)
            parts |= {("q", layer): q, ("k", layer): k, ("v", layer): v, ("head", layer): _at_end(z, stream)}
            parts["attention", layer] = _at_end(block.attention_writes(parts["head", layer][:, heard]), stream)
            attended = parts["resid_mid", layer] = stream + parts["attention", layer]
        read = block.mlp_reads(stream, attended)
        parts["mlp_in", layer] = read.view_as(read)
        parts["mlp", layer] = _at_end(block.mlp_writes(parts["mlp_in", layer][:, heard]), stream)
        stream = attended + parts["mlp", layer]
    parts["resid_pre", len(decoder.blocks)] = stream
    return Run(decoder=decoder, parts=parts)


def run_of_prompts(model: HookedModel, tokens: Tensor, *, differentiable: bool = False) -> Run:
    """The run of some prompts, ready for `gradients_at` where asked.

    Raises:
        ModelError: the decoder does not give the model's own logits on them.
    """
    decoder = model.decoder
    made = (differentiable_run if differentiable else run_from)(decoder, decoder.embed(tokens))
    reach = Reach()
    for (kind, _), values in made.parts.items():
        if kind in REACHED:
            reach.see(kind, values)
    model.require_agreement(tokens, made.parts["resid_pre", len(decoder.blocks)][:, -1], reach)
    return made


def _at_end(values: Tensor, stream: Tensor) -> Tensor:
    """Values of the last positions, zero at those before."""
    missing = stream.shape[1] - values.shape[1]
    return values if not missing else torch.cat([values.new_zeros(len(values), missing, *values.shape[2:]), values], 1)


def differentiable_run(decoder: Decoder, stream: Tensor, *, first: int = 0, midway: bool = False) -> Run:
    """The same run, ready for `gradients_at`.

    Raises:
        ModelError: a part of the model has no gradient, or one that does not say what a change would do.
    """
    decoder.prove_gradients()
    with torch.enable_grad():
        return run_from(decoder, stream.detach().clone().requires_grad_(True), first=first, midway=midway)


def gradients_at(run: Run, metric: BoundMetric, sites: Iterable[Site], *, again: bool = False) -> Parts:
    """Gradient of each pair's metric at some sites of a differentiable run, which is used up unless `again` is set.

    Raises:
        InputError: the metric has no gradient.
    """
    sites = tuple(sites)
    with torch.enable_grad():
        total = run.value(metric).sum()
    if not total.requires_grad:
        raise InputError(f"metric {metric.name!r} has no gradient; gradient methods need one such as logit_diff")
    found = torch.autograd.grad(total, [run.parts[site] for site in sites], retain_graph=again)
    return dict(zip(sites, found, strict=True))


class ReaderGradients:
    """Gradients at the inputs of a layer's readers, summed over runs of one chunk of pairs.

    `add` keeps what is short: per run the gradients at the projections' outputs, and the direction of the norm's input.
    `of_layer` makes the wide ones for all these runs together.
    """

    def __init__(self, decoder: Decoder, metric: BoundMetric, arrange: Arrange) -> None:
        self._decoder, self._metric, self._arrange = decoder, metric, arrange
        self._short: dict[int, list[_Short]] = {}
        self._whole: Parts = {}
        self._room: dict[torch.Size, Tensor] = {}

    def add(self, run: Run) -> None:
        """Take the gradient of a differentiable run, which is used up."""
        layers = {layer for kind, layer in run.parts if kind == "q"}
        whole = [site for site in run.parts if site[0] == "mlp_in"] + [("resid_pre", len(self._decoder.blocks))]
        projections = [(side, layer) for layer in sorted(layers) for side in PROJECTIONS]
        found = gradients_at(run, self._metric, [*projections, *whole])
        for site in whole:
            gradient = wide(self._arrange(found[site]))
            self._whole[site] = self._whole[site] + gradient if site in self._whole else gradient
        for layer in sorted(layers):
            short = _shorten(self._decoder.blocks[layer], layer, run.parts, found, self._arrange)
            self._short.setdefault(layer, []).append(short)

    def at_end(self) -> Tensor:
        """Gradient at the stream that the logits read, shape [reader, row, inner, d_model]."""
        return self._whole["resid_pre", len(self._decoder.blocks)].unsqueeze(0)

    def of_layer(self, layer: int) -> Tensor:
        """Gradients at the inputs of queries, keys, values and MLP, shape [reader, row, inner, d_model].

        Where no run took in a layer's attention there is the MLP alone, and none where no run took in the layer. The
        result lies where that for the next layer will: fresh memory for every layer takes as long as the arithmetic.
        """
        if ("mlp_in", layer) not in self._whole:
            return self.at_end()[:0]
        at_mlp, runs, block = self._whole["mlp_in", layer], self._short.get(layer, []), self._decoder.blocks[layer]
        if not runs:
            return at_mlp.unsqueeze(0)
        sides = (block.q, block.k, block.v)
        shape = torch.Size((sum(side.n_heads for side in sides) + 1, *at_mlp.shape))
        if shape not in self._room:
            self._room[shape] = at_mlp.new_empty(shape)
        found, start = self._room[shape], 0
        for number, side in enumerate(sides):
            at_inputs = found[start : (start := start + side.n_heads)].flatten(1, 2)
            short = torch.cat([run.gradients[number] for run in runs], -1).permute(2, 0, 1, 3).flatten(1, 2)
            torch.bmm(short, _weight_before(block.attention_norm, side).repeat(1, len(runs), 1), out=at_inputs)
        if block.attention_norm.module is not None:
            for run in runs:
                found[:-1].addcmul_(run.along, run.direction, value=-1 / at_mlp.shape[-1])
        found[-1] = at_mlp
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Short:
    """What the wide gradients of one layer and run are made from."""

    gradients: tuple[Tensor, ...]
    """At the outputs of queries, keys and values, times the norm's scale, shape [row, inner, head, d_head] each."""
    along: Tensor
    """Their projection on the direction of the norm's input, times d_model, shape [reader, row, inner, 1]."""
    direction: Tensor
    """The norm's input, centred and scaled, shape [row, inner, d_model]."""


def _shorten(block: Block, layer: int, parts: Parts, gradients: Parts, arrange: Arrange) -> _Short:
    norm, stream = block.attention_norm, parts["resid_pre", layer]
    constants = block.project(norm(stream.new_zeros(1, 1, stream.shape[-1])))
    direction = wide(arrange(stream))
    scale = torch.ones_like(direction[..., :1])
    if norm.module is not None:
        scale = norm.scale(direction)
        direction = _centred(norm, direction) * scale
    short, along = [], []
    for side, constant in zip(PROJECTIONS, constants, strict=True):
        short.append(wide(arrange(gradients[side, layer])) * scale.unsqueeze(-1))
        along.append((short[-1] * wide(arrange(parts[side, layer] - constant))).sum(-1))
    return _Short(gradients=tuple(short), along=torch.cat(along, -1).movedim(-1, 0).unsqueeze(-1), direction=direction)


def wide(values: Tensor) -> Tensor:
    """Values in float32 at least, in which scores are added up."""
    return values if values.dtype == torch.float64 else values.float()


def _weight_before(norm: Norm, side: Projection) -> Tensor:
    """A projection's weight with the norm's gain and centring taken into it, shape [head, d_head, d_model]."""
    weight = wide(side.weight())
    return _centred(norm, weight if norm.gain is None else weight * norm.gain)


def _centred(norm: Norm, values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True) if norm.centred else values
