"""Run many circuits in one batch, each with the edges outside it ablated (Hanna et al., 2024).

An edge inside the circuit carries what its writer writes in the run of the circuit. An edge outside it is *ablated*: it
carries a fixed stand-in. So each reader gets an input of its own, which is not the residual stream:

    input = residual stream + Σ over the writers outside the circuit of (stand-in − live output)

Source: https://arxiv.org/abs/2403.17806.

1. `RecordedRun.between` takes the outputs of all writers in the recorded run, and their stand-ins from another run: the
   writer's output there (`resample`), its mean over prompts and positions (`mean`) or over prompts at each position
   (`mean_by_position`), or zero (`zero`).
2. `run_circuits` starts at the first block in which any circuit lacks an edge (`_first_changed_layer`); the blocks
   before it are as recorded.
3. `_run_block` runs one block for all circuits. `_Writers.inputs_of` makes the inputs of the queries, keys and values
   of every head, and of the MLP. Readers that lack the same writers in every circuit of the batch share one input.
   `_Writers.write` then keeps stand-in minus live output of the block's writers, for the readers that follow. In the
   last block, only keys and values are computed at positions before the last.
4. `circuit_values` splits circuits and pairs into batches and reads the metrics. Under resample ablation it runs
   circuits in a faster way, `patching.engines.shared_run`, in which they share what they have in common.

What comes back is the metric itself, without a sign convention. Cost: for each circuit and pair one pass through the
blocks from the first changed one on, plus a norm and a projection for each different input. Memory: one vector of
`d_model` for each circuit, pair, position and writer of these blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import BoundMetric, bytes_of_reading
from interp_emerge.caching.recording import EMBED, Recording, bytes_per_prompt, streams, writer_outputs, z_name
from interp_emerge.core.axes import KeptEdges, PerCircuit, Residual
from interp_emerge.core.decoder import Block, Projection
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import BYTES_A_FLOAT, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.engines.shared_run import TwoRuns, shared_streams

BATCH_TOKENS = 1024
"""Circuits share a batch up to this many positions on a CPU: with fewer circuits, more readers share an input
(docs/calibration.md)."""
ACCELERATOR_BATCH_TOKENS = 1 << 16
"""The same on an accelerator, which small batches would leave mostly idle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedRun:
    """A recorded run of some prompts, and what the ablated edges of every writer carry."""

    model: HookedModel
    streams: list[Residual]
    """The residual stream before each block, followed by the stream after the last block."""
    outputs: Float[Tensor, "writer pair pos d_model"]
    """What each writer writes in the recorded run."""
    stand_ins: Float[Tensor, "writer pair pos d_model"]
    """What each writer's ablated edges carry."""
    bias_streams: list[Tensor] | None = None
    """Under zero ablation, the streams without any writer: biases alone. A reader's input is then made by adding its
    kept writers to these. Subtracting the others from the live stream would leave rounding errors, which norms enlarge
    to 1e-2 of a metric."""

    @classmethod
    def between(
        cls,
        model: HookedModel,
        own: Recording,
        other: Recording,
        *,
        ablation: str = "resample",
        mean: Tensor | None = None,
    ) -> "RecordedRun":
        """The run `own`, with stand-ins that the ablation makes of the run `other`; `mean` holds those of a mean."""
        stand_ins = writer_outputs(model, other)
        if ablation == "zero":
            stand_ins = torch.zeros_like(stand_ins)
        elif mean is not None:
            stand_ins = mean.to(stand_ins.dtype).expand_as(stand_ins)
        return cls(
            model=model,
            streams=streams(model, own),
            outputs=writer_outputs(model, own).movedim(2, 0).contiguous(),
            stand_ins=stand_ins.movedim(2, 0).contiguous(),
            bias_streams=_bias_streams(model, own) if ablation == "zero" else None,
        )


def batch_tokens(device: torch.device) -> int:
    """Positions that one batch should hold to keep the device busy."""
    return BATCH_TOKENS if device.type == "cpu" else ACCELERATOR_BATCH_TOKENS


def batch_sizes(
    model: HookedModel, length: int, *, n_pairs: int, n_circuits: int, budget: int | None
) -> tuple[int, int, int]:
    """Numbers of pairs and of circuits to run together, and the bytes that these need."""
    graph, width = model.graph, model.d_model
    readers = graph.n_heads + 2 * graph.n_kv_heads
    per_pair = 2 * bytes_per_prompt(model, length) + 4 * length * width * (3 * len(graph.writers) + graph.n_layers)
    per_row = 4 * (length * width * (len(graph.writers) + 4 * readers + 10) + 3 * model.d_vocab)
    pairs = items_that_fit(per_pair + per_row, n_pairs, device=model.device, budget=budget)
    rows = items_that_fit(per_row, n_circuits * pairs, device=model.device, budget=budget)
    rows = min(rows, batch_tokens(model.device) // length)
    circuits = min(n_circuits, max(1, (rows - pairs * per_pair // per_row) // pairs))
    return pairs, circuits, pairs * (per_pair + circuits * per_row)


@torch.no_grad()
def circuit_values(
    model: HookedModel,
    kept: KeptEdges,
    own: Recording,
    other: Recording,
    metrics: Sequence[BoundMetric],
    *,
    ablation: str = "resample",
    budget: int | None = None,
    sharing: bool = True,
    both: "BothRuns | None" = None,
    what: str = "circuits",
) -> list[PerCircuit]:
    """Each metric of every circuit on every pair, shape [circuit, pair] each.

    Args:
        model: what to run.
        kept: the edges of each circuit.
        own: the run whose values the edges of a circuit carry.
        other: the run that the stand-ins of all other edges are made from.
        metrics: the metrics, all on the same pairs.
        ablation: `resample`, `zero`, `mean` or `mean_by_position`.
        budget: bytes that may be used; by default a constant for the kind of device.
        sharing: whether circuits share what they have in common, which only resample ablation allows
            (`patching.engines.shared_run`). Without it, every node of every circuit runs: the slow way to the same
            numbers.
        both: the two runs with what earlier calls on them left, if there were any.
        what: what is run, for the progress bar.
    """
    with tqdm(total=len(metrics[0].pairs) * len(kept), desc=what, delay=2, leave=False, unit="run") as bar:
        if sharing and ablation == "resample":
            both = both or BothRuns(model, own, other, budget=budget)
            parts = _in_parts_shared(both, kept, metrics, bar=bar)
        else:
            parts = _in_parts(model, kept, own, other, metrics, ablation=ablation, budget=budget, bar=bar)
        read: list[list[Tensor]] = [[] for _ in metrics]
        for part in parts:
            for chunks, values in zip(read, part, strict=True):
                chunks.append(values)
    return [torch.cat(values, 1) for values in read]


def _in_parts(
    model: HookedModel,
    kept: KeptEdges,
    own: Recording,
    other: Recording,
    metrics: Sequence[BoundMetric],
    *,
    ablation: str,
    budget: int | None,
    bar: Any,
) -> Iterator[list[PerCircuit]]:
    """The metrics on one part of the pairs after the other; every node of every circuit runs."""
    n_pairs, length = metrics[0].pairs.clean.shape
    pairs, circuits, _ = batch_sizes(model, length, n_pairs=n_pairs, n_circuits=len(kept), budget=budget)
    parts = [slice(start, start + pairs) for start in range(0, n_pairs, pairs)]
    mean = _mean_outputs(model, other, parts, ablation) if ablation.startswith("mean") else None
    for part in parts:
        run = RecordedRun.between(model, own[part], other[part], ablation=ablation, mean=mean)
        found: list[list[Tensor]] = [[] for _ in metrics]
        for masks in kept.split(circuits):
            logits = run_circuits(run, masks)
            for values, metric in zip(found, metrics, strict=True):
                values.append(metric[part](logits))
            bar.update(len(masks) * logits.shape[1])
        yield [torch.cat(values) for values in found]


class BothRuns:
    """The own and the other run of some pairs, in parts that fit the budget, for any number of batches of circuits.

    What batches need of the last part stays in memory: calls on pairs that fit together compute it once.
    """

    def __init__(self, model: HookedModel, own: Recording, other: Recording, *, budget: int | None) -> None:
        self.model, self._own, self._other = model, own, other
        n_pairs, length = own.activations[EMBED].shape[:2]
        per_run = bytes_of_both_runs(model, length)
        per_pair = per_run + _bytes_of_outputs(model, length) + bytes_of_reading(model)
        at_once = items_that_fit(per_pair, n_pairs, device=model.device, budget=budget)
        size = ceil(n_pairs / ceil(n_pairs / at_once))
        self.parts = [slice(start, start + size) for start in range(0, n_pairs, size)]
        given = items_that_fit(1, 1 << 62, device=model.device, budget=budget)
        self.budget = max(0, given - size * per_run)
        """Bytes for the outputs of a batch of circuits."""
        self.at = lru_cache(maxsize=1)(self._at)

    def _at(self, index: int) -> TwoRuns:
        return TwoRuns(self.model, self._own[self.parts[index]], self._other[self.parts[index]])


def bytes_of_two_recordings(model: HookedModel, length: int) -> int:
    """Bytes of the recorded activations of two runs, for one pair."""
    graph, width = model.graph, model.d_model
    return _bytes_of_two(model, length * (width + graph.n_layers * (width + graph.n_heads * model.shape.d_head)))


def bytes_of_both_runs(model: HookedModel, length: int) -> int:
    """The same with what is computed from them: streams before and behind attention, queries, keys and values."""
    graph, width = model.graph, model.d_model
    projected = graph.n_layers * (graph.n_heads + 2 * graph.n_kv_heads) * model.shape.d_head
    streams = width * (2 * graph.n_layers + 1)
    return bytes_of_two_recordings(model, length) + _bytes_of_two(model, length * (streams + projected))


def _bytes_of_two(model: HookedModel, n_numbers: int) -> int:
    return 2 * max(BYTES_A_FLOAT, model.dtype.itemsize) * n_numbers


def _in_parts_shared(
    both: BothRuns, kept: KeptEdges, metrics: Sequence[BoundMetric], *, bar: Any
) -> Iterator[list[PerCircuit]]:
    """The same, with each different output of a node computed once."""
    model = both.model
    masks = kept.cpu().numpy() & model.graph.exists
    for index, part in enumerate(both.parts):
        runs, bound = both.at(index), [metric[part] for metric in metrics]
        found: list[list[Tensor]] = [[] for _ in metrics]
        for different, which in shared_streams(runs, masks, budget=both.budget):
            for values, metric in zip(found, bound, strict=True):
                values.append(_read(model, metric, different)[torch.from_numpy(which).to(different.device)])
            bar.update(len(which) * runs.n_pairs)
        yield [torch.cat(values) for values in found]


def _bytes_of_outputs(model: HookedModel, length: int) -> int:
    """Bytes that the outputs of one circuit need for one pair, if every writer's output has to be computed."""
    return 4 * length * model.d_model * (len(model.graph.writers) + 10)


def _read(model: HookedModel, metric: BoundMetric, streams: Tensor) -> PerCircuit:
    """The metric from the streams that the logits read, shape [different, pair, d_model]."""
    tokens, reading = metric.reading()
    if tokens is not None:
        logits = model.decoder.logits(streams.flatten(0, 1), tokens.to(streams.device).repeat(len(streams), 1))
        return reading(logits.unflatten(0, streams.shape[:2]))
    return torch.cat([metric(model.decoder.logits(one)[None]) for one in streams])


def _mean_outputs(model: HookedModel, other: Recording, parts: Sequence[slice], ablation: str) -> Tensor:
    """Mean output of every writer over all prompts and, for `mean`, over all positions too."""
    total, count = torch.zeros((), dtype=torch.float64, device=model.device), 0
    for part in parts:
        outputs = writer_outputs(model, other[part])
        total = total + outputs.sum(0, keepdim=True, dtype=torch.float64)
        count += len(outputs)
    mean = total / count
    return mean.mean(1, keepdim=True) if ablation == "mean" else mean


def _bias_streams(model: HookedModel, run: Recording) -> list[Tensor]:
    """The streams before each block and after the last one, if no writer writes: the biases of attention alone."""
    found = [torch.zeros_like(run.activations[EMBED][:1, :1], device=model.device)]
    for layer, block in enumerate(model.decoder.blocks):
        z = run.activations[z_name(layer)][:1, :1].to(model.device)
        found.append(found[-1] + block.attention_writes(torch.zeros_like(z)))
    return found


def run_circuits(run: RecordedRun, kept: KeptEdges) -> Float[Tensor, "circuit pair d_vocab"]:
    """Logits after the last token, with the edges outside each circuit carrying their writers' stand-ins."""
    graph, decoder = run.model.graph, run.model.decoder
    excluded = (torch.from_numpy(graph.exists) & ~kept.cpu()).mT
    first = _first_changed_layer(graph, excluded)
    writers = _Writers(run, excluded, first)
    stream = run.streams[first].repeat(len(kept), 1, 1)
    for layer in range(first, graph.n_layers):
        stream = _run_block(writers, graph, decoder.blocks[layer], stream, layer)
    ((reads,), _) = writers.inputs_of(slice(len(graph.readers) - 1, None), stream, graph.n_layers)
    return decoder.logits(reads[:, -1]).unflatten(0, (len(kept), -1))


def _run_block(writers: "_Writers", graph: Graph, block: Block, stream: Tensor, layer: int) -> Tensor:
    """The residual stream after one block; after the last block at the last position only."""
    readers, last = _readers_of(graph, layer), layer + 1 == graph.n_layers
    sides, mlp = (block.q, block.k, block.v), slice(readers.stop, readers.stop + 1)
    inputs, which = writers.inputs_of(readers, stream, layer)
    normed = block.attention_norm(inputs)
    of_sides = which.split([side.n_heads for side in sides])
    if last:
        stream = stream[:, -1:]
        writers.keep_last_position()
    q = _project(block.q, normed[:, :, -1:] if last else normed, of_sides[0])
    k, v = (_project(side, normed, of) for side, of in zip(sides[1:], of_sides[1:], strict=True))
    z = block.attention.mix(q, k, v)
    writers.write(block.head_writes(z))
    attended = stream + block.attention_writes(z)
    before_mlp = block.mlp_reads((stream, layer), (attended, layer + 1))
    ((reads,), _) = writers.inputs_of(mlp, *before_mlp)
    made = block.mlp_writes(reads)
    writers.write(made.unsqueeze(2))
    return attended + made


def _project(side: Projection, normed: Float[Tensor, "input row pos d_model"], which: Tensor) -> Tensor:
    """Each head's projection of its own input, shape [row, pos, head, d_head]; `which` gives the input of each head."""
    weight, bias = side.weight(), side.bias()
    made = normed.new_empty(*normed.shape[1:3], *weight.shape[:2])
    for index in which.unique():
        heads = which == index
        projected = normed[index] @ weight[heads].flatten(0, 1).T
        if bias is not None:
            projected += bias[heads].flatten()
        made[:, :, heads] = projected.unflatten(-1, (-1, weight.shape[1]))
    return made


class _Writers:
    """Stand-in minus live output of every writer in every circuit, filled in as the blocks run."""

    def __init__(self, run: RecordedRun, excluded: Tensor, first: int) -> None:
        self.graph, self.excluded, self.bias_streams = run.model.graph, excluded, run.bias_streams
        # The embedding and the blocks that do not run write the same in every circuit.
        self.n_recorded = 1 + first * (run.model.graph.n_heads + 1)
        self.recorded_changes = run.stand_ins[: self.n_recorded] - run.outputs[: self.n_recorded]
        self.stand_ins = run.stand_ins[self.n_recorded :]
        self.live_changes = run.stand_ins.new_empty(len(excluded), *self.stand_ins.shape)
        self.n_written = 0

    def write(self, live: Float[Tensor, "row pos writer d_model"]) -> None:
        """Take in the live outputs of the next writers."""
        writers = slice(self.n_written, self.n_written + live.shape[2])
        live = live.unflatten(0, (len(self.live_changes), -1)).movedim(3, 1)
        torch.sub(self.stand_ins[writers], live, out=self.live_changes[:, writers])
        self.n_written = writers.stop

    def keep_last_position(self) -> None:
        """Drop all positions but the last: no later reader needs them."""
        self.recorded_changes, self.stand_ins, self.live_changes = (
            values[..., -1:, :] for values in (self.recorded_changes, self.stand_ins, self.live_changes)
        )

    def inputs_of(
        self, readers: slice, live: Float[Tensor, "row pos d_model"], n_attended: int
    ) -> tuple[Float[Tensor, "input row pos d_model"], Tensor]:
        """The different inputs of some readers, and the number of the input that each reader gets.

        Args:
            readers: numbers of the readers in the graph's order.
            live: the residual stream of each circuit and pair.
            n_attended: number of layers whose attention has written to that stream.
        """
        # A reader has edges from writers that have run, and from no others.
        outside = self.excluded[:, readers, : self.n_recorded + self.n_written]
        outside, which = outside.unique(dim=1, return_inverse=True)
        weights = outside.to(live)
        if self.bias_streams is not None:
            # Stand-ins are zero here, so a change is minus the live output: the weights −1 add the kept writers.
            n_writers = self.graph.n_writers_before(self.graph.readers[readers.start])
            weights[:, :, :n_writers] -= 1
            live = self.bias_streams[n_attended].expand_as(live)
        inputs = live.expand(outside.shape[1], *live.shape)
        for changes, weight in self._changes(weights):
            change = (weight @ changes).unflatten(2, self.recorded_changes.shape[1:])
            inputs = inputs + change.movedim(1, 0).flatten(1, 2)
        return inputs, which

    def _changes(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Changes of the recorded and of the live writers, each with its weights; those without any are left out."""
        of_recorded, of_live = weights.split([self.n_recorded, self.n_written], 2)
        if of_recorded.any():
            yield self.recorded_changes.flatten(1), of_recorded
        if of_live.any():
            yield self.live_changes[:, : self.n_written].flatten(2), of_live


def _readers_of(graph: Graph, layer: int) -> slice:
    """The numbers of a layer's queries, keys and values among the readers; the layer's MLP is the next one."""
    count = graph.n_heads + 2 * graph.n_kv_heads
    return slice(layer * (count + 1), layer * (count + 1) + count)


def _first_changed_layer(graph: Graph, excluded: Tensor) -> int:
    """The layer of the first reader that lacks a writer in some circuit; the number of layers if it is the logits."""
    lacking = excluded.any(0).any(1).nonzero()
    return graph.readers[int(lacking[0])].layer if len(lacking) else graph.n_layers
