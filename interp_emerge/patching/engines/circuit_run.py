"""Run many circuits at once: edges outside a circuit carry what their writer writes in another run, or a mean of it.

1. `RecordedRun` holds one run of the prompts, and for every writer what stands for its output on an ablated edge: what
   it writes in the other run (`resample`), the mean of that over prompts and positions (`mean`) or over the prompts at
   each position (`mean_by_position`), or nothing (`zero`).
2. `run_circuits` starts at the first block that a circuit changes; the blocks before it are as recorded. The input of
   each reader is its live input plus, over the writers outside the circuit, the ablated output less the live one
   (Hanna et al., 2024, https://arxiv.org/abs/2403.17806). Queries, keys and values of every head get inputs of their
   own; those that lack the same writers in every circuit of a batch share one. In the last block only the keys and
   values of earlier positions are computed.
3. `circuit_values` splits circuits and pairs into batches and reads metrics.

Cost: the blocks from the first changed one on, and one norm for each different input. Memory: one vector of `d_model`
for each circuit, pair, position and writer of these blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import BoundMetric
from interp_emerge.caching.recording import EMBED, Recording, bytes_per_prompt, streams, writer_outputs, z_name
from interp_emerge.core.axes import KeptEdges, PerCircuit, Residual
from interp_emerge.core.decoder import Block, Projection
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel

BATCH_TOKENS = 1024
"""Circuits share a batch up to this many tokens, which keep a processor busy. The fewer they are, the more readers lack
the same writers in all of them: of 16 pairs × 27 tokens, one circuit at a time takes 0.7 of the time of five."""
ACCELERATOR_BATCH_TOKENS = 1 << 16
"""The same where small batches would leave most of a device idle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedRun:
    """A run of some prompts as recorded, and what every writer's ablated edges carry."""

    model: HookedModel
    streams: list[Residual]
    """The residual stream before each block, and last that after all of them."""
    own: Float[Tensor, "writer pair pos d_model"]
    other: Float[Tensor, "writer pair pos d_model"]
    unwritten: list[Tensor] | None = None
    """Under zero ablation, the streams that no writer writes to: nothing but biases. Readers then get the sum of their
    kept writers: the others taken off the live stream leave rounding errors, which norms blow up to 1e-2 of a metric.
    """

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
        """The run `own`, ablated edges carrying what the ablation makes of the run `other`."""
        ablated = writer_outputs(model, other)
        if ablation == "zero":
            ablated = torch.zeros_like(ablated)
        elif mean is not None:
            ablated = mean.to(ablated.dtype).expand_as(ablated)
        return cls(
            model=model,
            streams=streams(model, own),
            own=writer_outputs(model, own).movedim(2, 0).contiguous(),
            other=ablated.movedim(2, 0).contiguous(),
            unwritten=_unwritten(model, own) if ablation == "zero" else None,
        )


def batch_tokens(device: torch.device) -> int:
    """Tokens that one batch should hold to keep the device busy."""
    return BATCH_TOKENS if device.type == "cpu" else ACCELERATOR_BATCH_TOKENS


def batch_sizes(
    model: HookedModel, length: int, *, n_pairs: int, n_circuits: int, budget: int | None
) -> tuple[int, int, int]:
    """Pairs and circuits to take at once, and the bytes that these need."""
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
) -> list[PerCircuit]:
    """Each metric of every circuit on every pair: the run `own`, edges outside the circuit ablated from `other`."""
    n_pairs, length = metrics[0].pairs.clean.shape
    pairs, circuits, _ = batch_sizes(model, length, n_pairs=n_pairs, n_circuits=len(kept), budget=budget)
    parts = [slice(start, start + pairs) for start in range(0, n_pairs, pairs)]
    mean = _mean_outputs(model, other, parts, ablation) if ablation.startswith("mean") else None
    read: list[list[Tensor]] = [[] for _ in metrics]
    bar = tqdm(total=len(parts) * len(kept), desc="circuits", delay=2, leave=False)
    for part in parts:
        run = RecordedRun.between(model, own[part], other[part], ablation=ablation, mean=mean)
        found: list[list[Tensor]] = [[] for _ in metrics]
        for masks in kept.split(circuits):
            logits = run_circuits(run, masks)
            for values, metric in zip(found, metrics, strict=True):
                values.append(metric[part](logits))
            bar.update(len(masks))
        for whole, values in zip(read, found, strict=True):
            whole.append(torch.cat(values))
    bar.close()
    return [torch.cat(values, 1) for values in read]


def _mean_outputs(model: HookedModel, other: Recording, parts: Sequence[slice], ablation: str) -> Tensor:
    """Mean output of every writer over all prompts, and over all positions unless these are kept apart."""
    total, count = torch.zeros((), dtype=torch.float64, device=model.device), 0
    for part in parts:
        outputs = writer_outputs(model, other[part])
        total = total + outputs.sum(0, keepdim=True, dtype=torch.float64)
        count += len(outputs)
    mean = total / count
    return mean.mean(1, keepdim=True) if ablation == "mean" else mean


def _unwritten(model: HookedModel, run: Recording) -> list[Tensor]:
    """The stream before each block, and last that after all of them, if no head or MLP writes: biases of attention."""
    found = [torch.zeros_like(run.activations[EMBED][:1, :1], device=model.device)]
    for layer, block in enumerate(model.decoder.blocks):
        z = run.activations[z_name(layer)][:1, :1].to(model.device)
        found.append(found[-1] + block.attention_writes(torch.zeros_like(z)))
    return found


def run_circuits(run: RecordedRun, kept: KeptEdges) -> Float[Tensor, "circuit pair d_vocab"]:
    """Logits after the last token, with only the kept edges of each circuit carrying the run's own values."""
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
    """The residual stream after one block, in the last block only at the last position."""
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
    """Each head's projection of its own input, shape [row, pos, head, d_head]; `which` names the input by head."""
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
    """How far each writer of each circuit is from what its ablated edges carry, while the circuits run."""

    def __init__(self, run: RecordedRun, excluded: Tensor, first: int) -> None:
        self.graph, self.excluded, self.unwritten = run.model.graph, excluded, run.unwritten
        # The embedding and the blocks that do not run write the same in every circuit.
        self.n_recorded = 1 + first * (run.model.graph.n_heads + 1)
        self.recorded = run.other[: self.n_recorded] - run.own[: self.n_recorded]
        self.other = run.other[self.n_recorded :]
        self.missing = run.other.new_empty(len(excluded), *self.other.shape)
        self.n_written = 0

    def write(self, live: Float[Tensor, "row pos writer d_model"]) -> None:
        """Note the live outputs of the next writers."""
        writers = slice(self.n_written, self.n_written + live.shape[2])
        live = live.unflatten(0, (len(self.missing), -1)).movedim(3, 1)
        torch.sub(self.other[writers], live, out=self.missing[:, writers])
        self.n_written = writers.stop

    def keep_last_position(self) -> None:
        self.recorded, self.other, self.missing = (
            values[..., -1:, :] for values in (self.recorded, self.other, self.missing)
        )

    def inputs_of(
        self, readers: slice, live: Float[Tensor, "row pos d_model"], n_attended: int
    ) -> tuple[Float[Tensor, "input row pos d_model"], Tensor]:
        """Inputs of some readers from the live residual stream, and which of these each reader takes.

        Readers that lack the same writers in every circuit share an input. `n_attended` counts the layers whose
        attention has written to the stream.
        """
        # Writers of a later stage exist for none of these readers, so those that have run are all that count.
        outside = self.excluded[:, readers, : self.n_recorded + self.n_written]
        outside, which = outside.unique(dim=1, return_inverse=True)
        weights = outside.to(live)
        if self.unwritten is not None:
            n_writers = self.graph.n_writers_before(self.graph.readers[readers.start])
            weights[:, :, :n_writers] -= 1
            live = self.unwritten[n_attended].expand_as(live)
        inputs = live.expand(outside.shape[1], *live.shape)
        for changes, lacking in self._changes(weights):
            change = (lacking @ changes).unflatten(2, self.recorded.shape[1:])
            inputs = inputs + change.movedim(1, 0).flatten(1, 2)
        return inputs, which

    def _changes(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        early, late = weights.split([self.n_recorded, self.n_written], 2)
        if early.any():
            yield self.recorded.flatten(1), early
        if late.any():
            yield self.missing[:, : self.n_written].flatten(2), late


def _readers_of(graph: Graph, layer: int) -> slice:
    """Where the queries, keys and values of a layer stand among the readers; its MLP is the next one."""
    count = graph.n_heads + 2 * graph.n_kv_heads
    return slice(layer * (count + 1), layer * (count + 1) + count)


def _first_changed_layer(graph: Graph, excluded: Tensor) -> int:
    """The layer of the first reader that lacks a writer in some circuit; one past the last layer for the logits."""
    lacking = excluded.any(0).any(1).nonzero()
    return graph.readers[int(lacking[0])].layer if len(lacking) else graph.n_layers
