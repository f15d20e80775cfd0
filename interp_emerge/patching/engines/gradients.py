"""The gradient of a metric at the input of every reader, from one forward and one backward pass.

Edge attribution needs, for every query, key and value of every head, the gradient of the metric at that reader's own
input: the residual stream before the layer's norm. Autograd gives one gradient for the stream, the sum over all readers
of the layer. This engine splits it by reader without a backward pass for each.

1. `run_from` runs the decoder from a residual stream, before any block, and keeps every part of the run by its site.
   `run_of_prompts` starts at the embedding; `differentiable_run` prepares a run for gradients.
2. `gradients_at` takes one backward pass, to the sites that are named.
3. `ReaderGradients` takes the gradients at the outputs of the projections of queries, keys and values (width d_head)
   back through the weights and the norm to the residual stream (width d = d_model), for each head alone:

   - Let the norm be x ↦ G u + bias with u = s C x: s is the scale (one over the standard deviation or root mean
     square), C the centring (or the identity), G the gain. A head's projection is W (G u + bias) + bias.
   - With g the gradient at the projection's output, the gradient at x is s (C G Wᵀ g − u (u · C G Wᵀ g) / d).
   - `_compact` keeps s g for each head, of width d_head, and the product u · C G Wᵀ g. The product needs no vector of
     width d: it is g · (W G u), and W G u is the projection's output less its output for a zero stream.
   - `of_layer` multiplies s g with C G Wᵀ (`_weight_before`) and subtracts the second term, for all runs together.

Sign: these are plain gradients of the metric; a score multiplies them with clean minus corrupted values. Cost: one
forward and one backward pass of the blocks that are run, of the last block at the last position only, and the logits
that the metric reads. `of_layer` adds one matrix product of width d for each reader.
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
"""A kind of part and its layer. `resid_pre` with the number of layers is the stream that the logits read."""
Parts = dict[Site, Tensor]
PROJECTIONS = ("q", "k", "v")
REACHED = ("q", "k", "head", "mlp", "resid_pre")
"""Parts whose sizes decide whether the decoder has to be compared with the model on these prompts once more."""
Arrange = Callable[[Tensor], Tensor]
"""From [pair, pos, ...] to [row, inner, ...]: a row for each score, and the positions that it is summed over."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderRun:
    """The parts of a run of the decoder, from some block on.

    Sites: `resid_pre`, `resid_mid`, `q`, `k`, `v` (projections' outputs), `head` (heads' z), `attention` and `mlp`
    (what they add to the stream), `mlp_in` (the stream as the MLP alone reads it). The last block's outputs before the
    last position are not computed: they are zero here, and so are their gradients.
    """

    decoder: Decoder
    parts: Parts

    def value(self, metric: BoundMetric) -> Tensor:
        """The metric on each pair."""
        tokens, metric = metric.reading()
        end = self.parts["resid_pre", len(self.decoder.blocks)][:, -1]
        return metric(self.decoder.logits(end, None if tokens is None else tokens.to(end.device)))


def run_from(decoder: Decoder, stream: Tensor, *, first: int = 0, midway: bool = False) -> DecoderRun:
    """Run the decoder from the stream before block `first` or, if `midway`, from the stream before that block's MLP."""
    parts: Parts = {}
    for layer, block in enumerate(decoder.blocks[first:], first):
        # After the last block, the logits read the last position only.
        needed = slice(-1, None) if layer == len(decoder.blocks) - 1 else slice(None)
        if midway and layer == first:
            attended = parts["resid_mid", layer] = stream
        else:
            parts["resid_pre", layer] = stream
            q, k, v = block.project(block.attention_norm(stream))
            z = block.attention.mix(q[:, needed], k, v)
            parts |= {("q", layer): q, ("k", layer): k, ("v", layer): v, ("head", layer): _zeros_before(z, stream)}
            parts["attention", layer] = _zeros_before(block.attention_writes(parts["head", layer][:, needed]), stream)
            attended = parts["resid_mid", layer] = stream + parts["attention", layer]
        read = block.mlp_reads(stream, attended)
        parts["mlp_in", layer] = read.view_as(read)
        parts["mlp", layer] = _zeros_before(block.mlp_writes(parts["mlp_in", layer][:, needed]), stream)
        stream = attended + parts["mlp", layer]
    parts["resid_pre", len(decoder.blocks)] = stream
    return DecoderRun(decoder=decoder, parts=parts)


def run_of_prompts(model: HookedModel, tokens: Tensor, *, differentiable: bool = False) -> DecoderRun:
    """The run of some prompts; if `differentiable`, ready for `gradients_at`.

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


def _zeros_before(values: Tensor, stream: Tensor) -> Tensor:
    """Values of the last positions of a stream, with zeros at the positions before."""
    missing = stream.shape[1] - values.shape[1]
    return values if not missing else torch.cat([values.new_zeros(len(values), missing, *values.shape[2:]), values], 1)


def differentiable_run(decoder: Decoder, stream: Tensor, *, first: int = 0, midway: bool = False) -> DecoderRun:
    """The run of `run_from`, ready for `gradients_at`.

    Raises:
        ModelError: a part of the model has no gradient, or its gradient disagrees with the effect of a small change.
    """
    decoder.prove_gradients()
    with torch.enable_grad():
        return run_from(decoder, stream.detach().clone().requires_grad_(True), first=first, midway=midway)


def gradients_at(run: DecoderRun, metric: BoundMetric, sites: Iterable[Site], *, again: bool = False) -> Parts:
    """Gradient of each pair's metric at some sites of a differentiable run; it can be taken once unless `again` is set.

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
    """Gradients at the inputs of a layer's readers, summed over several runs of one chunk of pairs.

    `add` keeps the gradients of each run in compact form. `of_layer` makes those of width d_model, for all runs
    together.
    """

    def __init__(self, decoder: Decoder, metric: BoundMetric, arrange: Arrange) -> None:
        self._decoder, self._metric, self._arrange = decoder, metric, arrange
        self._of_projections: dict[int, list[_Compact]] = {}
        self._at_streams: Parts = {}
        self._buffers: dict[torch.Size, Tensor] = {}

    def add(self, run: DecoderRun) -> None:
        """Take the gradients of a differentiable run, which cannot be used again."""
        layers = {layer for kind, layer in run.parts if kind == "q"}
        streams = [site for site in run.parts if site[0] == "mlp_in"] + [("resid_pre", len(self._decoder.blocks))]
        projections = [(side, layer) for layer in sorted(layers) for side in PROJECTIONS]
        found = gradients_at(run, self._metric, [*projections, *streams])
        for site in streams:
            gradient = at_least_float32(self._arrange(found[site]))
            self._at_streams[site] = self._at_streams[site] + gradient if site in self._at_streams else gradient
        for layer in sorted(layers):
            compact = _compact(self._decoder.blocks[layer], layer, run.parts, found, self._arrange)
            self._of_projections.setdefault(layer, []).append(compact)

    def at_logits(self) -> Tensor:
        """Gradient at the stream that the logits read, shape [1, row, inner, d_model]."""
        return self._at_streams["resid_pre", len(self._decoder.blocks)].unsqueeze(0)

    def of_layer(self, layer: int) -> Tensor:
        """Gradients at the inputs of queries, keys, values and MLP, shape [reader, row, inner, d_model].

        Runs that start before a layer's MLP give the MLP alone; runs that start above the layer give no reader. The
        next call overwrites the result: new memory for every layer would take as long as the arithmetic.
        """
        if ("mlp_in", layer) not in self._at_streams:
            return self.at_logits()[:0]
        at_mlp, block = self._at_streams["mlp_in", layer], self._decoder.blocks[layer]
        runs = self._of_projections.get(layer, [])
        if not runs:
            return at_mlp.unsqueeze(0)
        sides = (block.q, block.k, block.v)
        shape = torch.Size((sum(side.n_heads for side in sides) + 1, *at_mlp.shape))
        if shape not in self._buffers:
            self._buffers[shape] = at_mlp.new_empty(shape)
        found, start = self._buffers[shape], 0
        for number, side in enumerate(sides):
            at_inputs = found[start : (start := start + side.n_heads)].flatten(1, 2)
            compact = torch.cat([run.gradients[number] for run in runs], -1).permute(2, 0, 1, 3).flatten(1, 2)
            torch.bmm(compact, _weight_before(block.attention_norm, side).repeat(1, len(runs), 1), out=at_inputs)
        if block.attention_norm.module is not None:
            for run in runs:
                found[:-1].addcmul_(run.along, run.direction, value=-1 / at_mlp.shape[-1])
        found[-1] = at_mlp
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Compact:
    """What the gradients at a layer's inputs are made from, for one run."""

    gradients: tuple[Tensor, ...]
    """s g: gradients at the outputs of queries, keys, values times the scale, shape [row, inner, head, d_head] each."""
    along: Tensor
    """s (u · C G Wᵀ g), shape [reader, row, inner, 1]."""
    direction: Tensor
    """u: the norm's input, centred and scaled, shape [row, inner, d_model]."""


def _compact(block: Block, layer: int, parts: Parts, gradients: Parts, arrange: Arrange) -> _Compact:
    norm, stream = block.attention_norm, parts["resid_pre", layer]
    constants = block.project(norm(stream.new_zeros(1, 1, stream.shape[-1])))
    direction = at_least_float32(arrange(stream))
    scale = torch.ones_like(direction[..., :1])
    if norm.module is not None:
        scale = norm.scale(direction)
        direction = _centred(norm, direction) * scale
    scaled, along = [], []
    for side, constant in zip(PROJECTIONS, constants, strict=True):
        scaled.append(at_least_float32(arrange(gradients[side, layer])) * scale.unsqueeze(-1))
        along.append((scaled[-1] * at_least_float32(arrange(parts[side, layer] - constant))).sum(-1))
    along = torch.cat(along, -1).movedim(-1, 0).unsqueeze(-1)
    return _Compact(gradients=tuple(scaled), along=along, direction=direction)


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32, or in float64 if they are that: scores are summed in no smaller precision."""
    return values if values.dtype == torch.float64 else values.float()


def _weight_before(norm: Norm, side: Projection) -> Tensor:
    """A projection's weight multiplied by the norm's gain and centred: W G C, shape [head, d_head, d_model]."""
    weight = at_least_float32(side.weight())
    return _centred(norm, weight if norm.gain is None else weight * norm.gain)


def _centred(norm: Norm, values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True) if norm.centred else values
