"""Activation patching: the exact effect of giving one node the value that it has in the other run (Vig et al., 2020).

1. Both runs are recorded. One run is patched, the other gives the values. With `direction="denoising"` clean values
   enter the corrupted run and the score is the metric's rise; with `"noising"` corrupted values enter the clean run and
   the score is the metric's fall. Positive means that the clean value raises the metric.
2. `_spans` finds the positions at which a node's value differs between the runs. A pair without any is not run.
3. `_at_block` computes the residual stream that the patch leaves behind the node's layer, on those positions. Heads
   patched at their queries, keys, values or patterns share one call of attention, and each takes its own output of it
   (`_mixed_heads`).
4. `resume` carries the streams through the blocks that follow, and `Readout` reads the metric.

Sites, each with the TransformerLens hook at which it is patched:

- `embed`, `resid_pre`, `resid_mid` (serial blocks), `resid_post`: the residual stream (`hook_resid_pre` …).
- `head`: a head's output before the last projection of attention (`hook_z`). Where a norm follows attention (Gemma 2,
  OLMo 2), it scales all heads of the layer together, so patching one head also rescales what the others write.
- `q`, `k`, `v`: the outputs of the projections, before any norm of heads and before rotation. Where heads share keys
  and values, `k` and `v` count key-value heads.
- `pattern`: a head's attention weights (`hook_pattern`). Its position is that of the query.
- `attention`, `mlp`: what a layer adds to the stream (`hook_attn_out`, `hook_mlp_out`). To patch before or behind the
  norm that follows is the same, because the norm acts on each position alone.

With `positions`, a node is patched at one position at a time. Cost: for a node of layer l of L, (L − l) / L of a
forward pass, times the share of tokens from the position on. Nodes are not patched together: `ablate` does that.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp_emerge.caching.recording import Recording
from interp_emerge.core.axes import HeadVectors
from interp_emerge.core.graph import Node
from interp_emerge.core.source import Source
from interp_emerge.patching import shelf
from interp_emerge.patching.base import Cost, Method, NodeScores, PatchingTask, require_finite
from interp_emerge.patching.engines.options import AtPositions, Direction, Sites
from interp_emerge.patching.engines.resuming import BatchLimits, Change, Readout, UnfoldedRun, resume, runs_by_direction

OF_HEADS = ("head", "q", "k", "v", "pattern")
BEFORE_BLOCK = {"embed": lambda _: 0, "resid_pre": lambda layer: layer, "resid_post": lambda layer: layer + 1}
"""Sites that are the residual stream before a block, with the number of that block."""

Cell = tuple[int, int]
"""The numbers of a node and of a place in the scores."""
Span = tuple[int, int]
"""The first changed position, and the position after the last changed one."""


@dataclass(frozen=True, kw_only=True)
class Options(AtPositions):
    """Options of `activation_patching`."""

    sites: Sites = ("embed", "head", "mlp")
    direction: Direction = "denoising"


def run(task: PatchingTask[Options]) -> NodeScores:
    reference, source, sign = runs_by_direction(task, task.options.direction)
    nodes = task.graph.nodes(task.options.sites)
    rises = patched_rises(task, nodes, reference, source, "activation patching")
    return node_scores(task, nodes, sign * rises, "activation_patching")


def cost(task: PatchingTask[Options]) -> Cost:
    return patching_cost(task, task.graph.nodes(task.options.sites))


def node_scores(task: PatchingTask, nodes: tuple[Node, ...], values: Tensor, method: str) -> NodeScores:
    """Scores from values of shape [node, place, pair]."""
    require_finite(values, f"{method} scores")
    per_pair = np.ascontiguousarray(values.permute(2, 1, 0).cpu())
    origin, positions = task.origin(method), None if task.places is None else task.places.names
    collapsed = per_pair[:, 0] if positions is None else per_pair
    return NodeScores(graph=task.graph, nodes=nodes, per_pair=collapsed, positions=positions, origin=origin)


def patching_cost(task: PatchingTask, nodes: Sequence[Node]) -> Cost:
    """The cost of patching each node, including the two recorded runs."""
    n_layers = task.graph.n_layers
    share = sum((n_layers - max(0, node.layer)) / n_layers for node in nodes)
    return Cost(
        passes=2 + share * sum(_changeable_positions(task)) / task.pairs.length, bytes=BatchLimits.of(task).bytes
    )


@torch.no_grad()
def patched_rises(
    task: PatchingTask, nodes: Sequence[Node], reference: Recording, source: Recording, what: str
) -> Float[Tensor, "node place pair"]:
    """How far the metric rises in the reference run when one node takes its value from the source run."""
    limits, tokens = BatchLimits.of(task), _changeable_positions(task)
    # Patches at the same place change the same span, so those of all layers run together.
    cells = [(node, place) for place in range(len(tokens)) for node in range(len(nodes))]
    rises = torch.zeros(len(nodes), len(tokens), len(task.pairs), dtype=torch.float32)
    chunks = [slice(start, start + limits.pairs) for start in range(0, len(task.pairs), limits.pairs)]
    for rows in task.bar(chunks, what):
        runs = [UnfoldedRun(model=task.model, recording=recording[rows]) for recording in (reference, source)]
        metric, places = task.metric[rows], None if task.places is None else task.places.index[:, rows]
        patches = _Patches(run=runs[0], source=runs[1], nodes=nodes, places=places)
        readout = Readout(runs[0], metric, budget=limits.bytes)
        for batch in _batches(cells, [tokens[place] for _, place in cells], limits.tokens // len(metric.pairs)):
            node, place = torch.tensor(batch).T
            rises[node, place, rows] = patches.rises(batch, readout).cpu()
    return rises


def _changeable_positions(task: PatchingTask[Options]) -> list[int]:
    """The number of positions of a prompt that a patch can change, for each place; all where places are collapsed."""
    length = task.pairs.length
    return [length] if task.places is None else (length - task.places.index.min(1).values).tolist()


def _batches(cells: Sequence[Cell], sizes: Sequence[int], most: int) -> list[list[Cell]]:
    """The cells in order, in batches whose sizes sum to at most `most`, or of a single cell."""
    batches, used = [], most + 1
    for cell, size in zip(cells, sizes, strict=True):
        if used + size > most:
            batches.append([])
            used = 0
        batches[-1].append(cell)
        used += size
    return batches


@dataclass(kw_only=True, eq=False)
class _Patches:
    """Patches of one run with values of another, on one chunk of pairs."""

    run: UnfoldedRun
    source: UnfoldedRun
    nodes: Sequence[Node]
    places: Tensor | None
    _mixed: dict[tuple, HeadVectors] = field(default_factory=dict)
    _compared: dict[tuple, Tensor] = field(default_factory=dict)

    def rises(self, batch: Sequence[Cell], readout: Readout) -> Float[Tensor, "cell pair"]:
        """How far each cell's patch raises the metric on each pair."""
        spans: dict[tuple[str, int, Span], list[tuple[int, Cell, Tensor]]] = defaultdict(list)
        for at, (index, place) in enumerate(batch):
            node = self.nodes[index]
            stage = "z" if node.kind in OF_HEADS else node.kind
            for span, rows in self._spans(node, place):
                spans[stage, node.layer, span].append((at, (index, place), rows))
        changes = [self._at_block(stage, layer, span, parts) for (stage, layer, span), parts in spans.items()]
        self._mixed.clear()
        cells = [torch.full_like(rows, at) for parts in spans.values() for at, _, rows in parts]
        empty = torch.empty(0, dtype=torch.int64, device=self.run.model.device)
        streams = [self.run.before[-1][:0, -1], *resume(self.run, changes)]
        rows = torch.cat([empty, *(change.rows for change in changes)])
        return readout.rises(len(batch), torch.cat([empty, *cells]), rows, torch.cat(streams))

    def _spans(self, node: Node, place: int) -> list[tuple[Span, Tensor]]:
        """The spans of positions on which a patch changes the stream behind its layer, each with its pairs."""
        differs, length = self._differing(node), self.run.before[0].shape[1]
        if self.places is not None:
            there = self.places[place].to(differs.device)[:, None]
            differs = differs & (torch.arange(length, device=differs.device) == there)
        rows = differs.any(1).nonzero()[:, 0]
        start = differs.int().argmax(1)[rows]
        # A key or value changes the outputs of all later positions.
        reaches_later = node.kind in ("k", "v")
        stop = torch.full_like(start, length) if reaches_later else length - differs.flip(1).int().argmax(1)[rows]
        if node.kind != "embed" and node.layer == self.run.model.graph.n_layers - 1 and node.kind != "resid_pre":
            # Behind the last block, only the last position is read.
            start = torch.full_like(start, length - 1)
            rows, start, stop = rows[stop == length], start[stop == length], stop[stop == length]
        found = torch.stack([start, stop], 1)
        return [((a, b), rows[(found == found.new_tensor([a, b])).all(1)]) for a, b in {*map(tuple, found.tolist())}]

    def _differing(self, node: Node) -> Bool[Tensor, "pair pos"]:
        """Where the node's value differs between the two runs."""
        key = node.kind, node.layer
        if key not in self._compared:
            one, other = (_values(run, node) for run in (self.run, self.source))
            self._compared[key] = (one != other).any(-1)
        compared = self._compared[key]
        return compared[:, :, node.index] if node.kind in OF_HEADS else compared

    def _at_block(self, stage: str, layer: int, span: Span, parts: Sequence[tuple[int, Cell, Tensor]]) -> Change:
        """The patched streams before the block that reads them, for cells that change the same span."""
        at, rows = slice(*span), torch.cat([rows for _, _, rows in parts])
        patched = torch.cat([self._patched(cell, span, rows) for _, cell, rows in parts])
        if stage in BEFORE_BLOCK:
            return Change(layer=BEFORE_BLOCK[stage](layer), rows=rows, start=span[0], stream=patched)
        run, block = self.run, self.run.model.decoder.blocks[layer]
        if stage == "mlp":
            stream = run.attended[layer][rows, at] + patched
            return Change(layer=layer + 1, rows=rows, start=span[0], stream=stream)
        if stage == "z" and block.attention_post_norm.module is None:
            attended = run.attended[layer][rows, at] + patched
        elif stage == "resid_mid":
            attended = patched
        else:
            attended = run.before[layer][rows, at] + patched
        mlp = block.mlp_after_attention(attended, run.mlp(layer)[rows, at])
        return Change(layer=layer + 1, rows=rows, start=span[0], stream=attended + mlp)

    def _patched(self, cell: Cell, span: Span, rows: Tensor) -> Tensor:
        """The patched value on a span of positions.

        For a head it is the patched output of attention or, where no norm follows attention, the change of it.
        """
        node, at = self.nodes[cell[0]], slice(*span)
        if node.kind not in OF_HEADS:
            return _values(self.source, node)[rows, at]
        mixed, heads = self._mixed_heads(node, cell[1])
        block, old, new = self.run.model.decoder.blocks[node.layer], self.run.z(node.layer), mixed[rows, at, heads]
        if block.attention_post_norm.module is None:
            return block.some_heads_write(new - old[rows, at, heads], heads)
        z = old[rows, at]
        z[:, :, heads] = new
        return block.attention_writes(z)

    def _mixed_heads(self, node: Node, place: int) -> tuple[HeadVectors, slice]:
        """Heads' outputs under a patch, and the heads that it changes; only the outputs of these are valid."""
        graph, layer = self.run.model.graph, node.layer
        shared = graph.n_heads // graph.n_kv_heads if node.kind in ("k", "v") else 1
        joined = graph.joined and node.kind in ("q", "k")
        heads = slice(None) if joined else slice(node.index * shared, (node.index + 1) * shared)
        if node.kind == "head":
            return self.source.z(layer), heads
        by_place = self.places is not None and (node.kind in ("k", "v") or joined)
        key = node.kind, layer, node.index if joined else None, place if by_place else None
        if key not in self._mixed:
            self._mixed[key] = self._mix(node, place if by_place else None, joined=joined)
        return self._mixed[key], heads

    def _mix(self, node: Node, place: int | None, *, joined: bool) -> HeadVectors:
        """The output of attention with the source's values of one kind; of one head alone if a norm joins the heads."""
        attention = self.run.model.decoder.blocks[node.layer].attention
        sides = list(self.run.projected[node.layer])
        if node.kind == "pattern":
            return attention.weigh(attention.pattern(*self.source.projected[node.layer][:2]), sides[2])
        side = "qkv".index(node.kind)
        patched, new = sides[side].clone(), self.source.projected[node.layer][side]
        heads = slice(node.index, node.index + 1) if joined else slice(None)
        if place is None or self.places is None:
            patched[:, :, heads] = new[:, :, heads]
        else:
            rows = torch.arange(len(new), device=new.device)
            there = self.places[place].to(new.device)
            patched[rows, there, heads] = new[rows, there, heads]
        sides[side] = patched
        return attention.mix(*sides)


def _values(run: UnfoldedRun, node: Node) -> Tensor:
    """The values of all nodes of a kind in a layer, shape [pair, pos, ...]; a pattern's position is its query's."""
    layer = node.layer
    match node.kind:
        case "embed":
            return run.embedding()
        case "resid_pre":
            return run.before[layer]
        case "resid_mid":
            return run.attended[layer]
        case "resid_post":
            return run.before[layer + 1]
        case "attention":
            return run.attention(layer)
        case "mlp":
            return run.mlp(layer)
        case "head":
            return run.z(layer)
        case "pattern":
            attention = run.model.decoder.blocks[layer].attention
            return attention.pattern(*run.projected[layer][:2]).transpose(1, 2)
        case kind:
            return run.projected[layer]["qkv".index(kind)]


shelf.add(
    Method(
        name="activation_patching",
        summary="exact rise of the metric when one node takes its clean value in the corrupted run, or the reverse",
        source=Source("Vig et al.", 2020, "https://arxiv.org/abs/2004.12265"),
        scores="nodes",
        run=run,
        cost=cost,
        options=Options,
    )
)
