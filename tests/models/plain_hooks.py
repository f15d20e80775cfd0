"""A plain transformers model with torch's hooks, as an oracle: the model runs itself, and hooks read and change it.

Attention, masks, rotations, MLPs and the order of a block are those of the model's own forward pass; nothing here is
written anew but the definition of the graph. A reader gets an input of its own by running the norm and the module
behind it once more, on the stream plus a change, and putting the result in place of what the model made.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tests.models.slow_model import PARALLEL, Names, key_value_heads, names_of

Edge = tuple[str, str]
Written = dict[str, Tensor]
Change = Callable[[str, Written], Tensor | None]
"""What is added to a reader's input, given its name and the outputs of the writers so far; None leaves it alone."""
Metric = Callable[[Tensor], Tensor]
"""From logits after the prompt, shape [pair, d_vocab], to one value a pair."""

LIKE_LLAMA = ("llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "olmo", "granite")
"""Types of model whose modules have Llama's names; the others have a row in `NAMES`."""
FUSED = {
    "gpt2": ("c_attn", "parts"),
    "gpt_neox": ("query_key_value", "groups"),
    "bloom": ("query_key_value", "groups"),
    "falcon": ("query_key_value", "groups"),
    "mpt": ("Wqkv", "parts"),
}
"""Where one module makes queries, keys and values: its name, and whether its outputs are all queries, all keys and all
values (`parts`) or, for each key in turn, the queries that share it, the key and the value (`groups`)."""
PARTS_OF_MLP = {"opt": ("fc1", "fc2")}
"""The first and the last module of an MLP that is no module of its own."""


@dataclass(frozen=True, eq=False)
class PlainRun:
    """What hooks saw in one run; `logits` are those after the last token."""

    written: Written = field(default_factory=dict)
    z: list[Tensor] = field(default_factory=list)
    streams: list[Tensor] = field(default_factory=list)
    patterns: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


class PlainModel:
    """A Hugging Face model, and where hooks go.

    Raises:
        KeyError: the type of model has no row in the tables above.
    """

    def __init__(self, hf: Any) -> None:
        self.hf, self.kind = hf, hf.config.model_type
        names = Names() if self.kind in LIKE_LLAMA else names_of(hf.config)
        if names is None:
            raise KeyError(f"no names of modules for {self.kind!r}; add a row to NAMES or to LIKE_LLAMA")
        self.names = names
        base = hf.base_model.decoder if hasattr(hf.base_model, "decoder") else hf.base_model
        self.blocks = [*next(getattr(base, name) for name in ("layers", "h", "blocks") if hasattr(base, name))]
        self.final_norm = getattr(base, self.names.final_norm)
        self.n_heads = hf.config.num_attention_heads
        self.n_kv_heads = key_value_heads(hf.config)
        self.factor = getattr(hf.config, "residual_multiplier", 1.0)
        self.parallel = self.kind in PARALLEL or getattr(hf.config, "use_parallel_residual", False)

    def readers(self) -> list[str]:
        """Names of all readers, in the order in which they run."""
        found = []
        for layer in range(len(self.blocks)):
            found += [self.side_name(layer, side, head) for side in "qkv" for head in range(self.count(side))]
            found.append(f"m{layer}")
        return [*found, "logits"]

    def writers_before(self, reader: str) -> list[str]:
        """Names of the writers whose outputs sum, with biases, to a reader's input."""
        layer = len(self.blocks) if reader == "logits" else int(reader[1:].partition(".")[0])
        found = ["embed"]
        for below in range(layer):
            found += [*self.heads(below), f"m{below}"]
        return found + (self.heads(layer) if reader[0] == "m" and not self.parallel else [])

    def edges(self) -> list[Edge]:
        """All edges, by the names of writer and reader."""
        return [(writer, reader) for reader in self.readers() for writer in self.writers_before(reader)]

    def heads(self, layer: int) -> list[str]:
        return [f"a{layer}.h{head}" for head in range(self.n_heads)]

    def count(self, side: str) -> int:
        return self.n_heads if side == "q" else self.n_kv_heads

    def side_name(self, layer: int, side: str, head: int) -> str:
        shared = side != "q" and self.n_kv_heads != self.n_heads
        return f"a{layer}.{'kv' if shared else 'h'}{head}.{side}"

    def run(
        self,
        tokens: Tensor,
        change: Change | None = None,
        *,
        embedding: Tensor | None = None,
        patterns: bool = False,
    ) -> PlainRun:
        """One forward pass of the model; `change` gives readers other inputs, `embedding` replaces the first stream."""
        run = PlainRun()
        with ExitStack() as hooks:
            for layer in range(len(self.blocks)):
                self._hook_block(hooks, layer, run, change)
            if embedding is not None:
                hooks.enter_context(before(self.blocks[0], lambda _: embedding))
            for layer, block in enumerate(self.blocks):
                hooks.enter_context(before(block, lambda stream, layer=layer: self._enter(run, layer, stream)))
            hooks.enter_context(
                before(self.final_norm, lambda stream: self._enter(run, len(self.blocks), stream, change))
            )
            output = self.hf(input_ids=tokens, use_cache=False, output_attentions=patterns)
        run.logits.append(output.logits[:, -1])
        run.patterns.extend(output.attentions or ())
        return run

    def _enter(self, run: PlainRun, layer: int, stream: Tensor, change: Change | None = None) -> Tensor | None:
        """Note the stream before a block, or that which the logits read."""
        if layer == 0:
            run.written["embed"] = stream
        run.streams.append(stream)
        moved = change and change("logits", run.written)
        return None if moved is None else stream + moved

    def _hook_block(self, hooks: ExitStack, layer: int, run: PlainRun, change: Change | None) -> None:
        block, attention = self.blocks[layer], self._attention(layer)
        norm, mlp_norm, post_norm, mlp_post_norm = (
            None if name is None else getattr(block, name)
            for name in (
                self.names.attention_norm,
                self.names.mlp_norm,
                self.names.attention_post_norm,
                self.names.mlp_post_norm,
            )
        )
        out = getattr(attention, self.names.out)
        read_by_mlp: list[Tensor] = []

        def project(module: nn.Module, made: Tensor) -> Tensor | None:
            if change is None:
                return None
            made, stream = made.clone(), run.streams[layer]
            for reader, columns in self._columns(attention, layer, module, made.shape[-1]):
                moved = change(reader, run.written)
                if moved is not None:
                    made[..., columns] = module.forward(normed(norm, stream + moved))[..., columns]
            return made

        def attend(z: Tensor) -> None:
            run.z.append(z.unflatten(-1, (self.n_heads, -1)))
            terms = heads_write(out, run.z[layer], post_norm) * self.factor
            run.written.update(zip(self.heads(layer), terms.unbind(2), strict=True))

        def enter_mlp(given: Tensor) -> Tensor | None:
            stream = run.streams[layer] if self.parallel else (read_by_mlp or [given])[0]
            moved = change and change(f"m{layer}", run.written)
            return None if moved is None else normed(mlp_norm, stream.view_as(moved) + moved).view_as(given)

        def leave_mlp(made: Tensor) -> None:
            run.written[f"m{layer}"] = made.view_as(run.streams[layer]) * self.factor

        for module in dict.fromkeys(module for module, _ in self._sides(attention).values()):
            hooks.enter_context(after(module, lambda made, module=module: project(module, made)))
        hooks.enter_context(before(out, attend))
        if mlp_norm is not None and not self.parallel:
            hooks.enter_context(before(mlp_norm, read_by_mlp.append))
        first, last = PARTS_OF_MLP.get(self.kind, (self.names.mlp,) * 2)
        hooks.enter_context(before(getattr(block, first), enter_mlp))
        hooks.enter_context(after(mlp_post_norm or getattr(block, last), leave_mlp))

    def _attention(self, layer: int) -> Any:
        attention = getattr(self.blocks[layer], self.names.attention)
        return attention.attention if self.kind == "gpt_neo" else attention

    def _sides(self, attention: Any) -> dict[str, tuple[nn.Module, str]]:
        """The modules that make queries, keys and values, and in which order their outputs count heads and parts."""
        if self.kind in FUSED:
            name, order = FUSED[self.kind]
            return dict.fromkeys("qkv", (getattr(attention, name), order))
        return {side: (getattr(attention, f"{side}_proj"), "heads") for side in "qkv"}

    def _columns(self, attention: Any, layer: int, module: nn.Module, width: int) -> Iterator[tuple[str, slice]]:
        """The readers that a module serves, and which of its outputs are each one's."""
        group = self.n_heads // self.n_kv_heads
        for part, (side, (of_side, order)) in enumerate(self._sides(attention).items()):
            total = self.count(side) if order == "heads" else self.n_heads + 2 * self.n_kv_heads
            for head in range(self.count(side) if of_side is module else 0):
                match order:
                    case "heads":
                        number = head
                    case "parts":
                        number = sum(map(self.count, "qkv"[:part])) + head
                    case _:
                        of_group = head % group if side == "q" else group + part - 1
                        number = (head // group if side == "q" else head) * (group + 2) + of_group
                size = width // total
                yield self.side_name(layer, side, head), slice(number * size, (number + 1) * size)


def normed(norm: nn.Module | None, stream: Tensor) -> Tensor:
    """A norm of the stream; by `forward`, so that no hook on the norm sees it."""
    return stream if norm is None else norm.forward(stream)


def heads_write(out: Any, z: Tensor, post_norm: Any) -> Tensor:
    """What each head adds to the stream, shape [row, pos, head, d_model], from the heads' parts of `z`.

    Behind a norm they share the scale of their sum: the norm of a head's term by itself, with that term's own size
    taken back.
    """
    weight = out.weight.T if type(out).__name__ == "Conv1D" else out.weight
    terms = torch.stack([linear(z[..., head, :], part) for head, part in enumerate(weight.split(z.shape[-1], 1))], 2)
    if post_norm is None:
        return terms
    eps = post_norm.eps if hasattr(post_norm, "eps") else post_norm.variance_epsilon

    def size(values: Tensor) -> Tensor:
        return (values.float().square().mean(-1, keepdim=True) + eps).sqrt()

    together = size(out.forward(z.flatten(2)))
    return (post_norm.forward(terms) * (size(terms) / together.unsqueeze(2))).to(terms.dtype)


@contextmanager
def before(module: nn.Module, see: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """While open, `see` gets the first tensor that a module is given, and may replace it."""

    def hook(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        changed = see(args[0] if args else kwargs["hidden_states"])
        if changed is None:
            return None
        return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed})

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def after(module: nn.Module, see: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """While open, `see` gets what a module makes, and may replace it; a residual that is added inside is left out."""

    def hook(_: nn.Module, args: tuple, made: Any) -> Tensor | None:
        if len(args) == 2 and args[1].shape == made.shape:
            made = module.forward(args[0], torch.zeros_like(made))
        return see(made)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def eap_ig(
    plain: PlainModel, clean: Tensor, corrupt: Tensor, metric: Metric, points: Sequence[float]
) -> dict[Edge, Tensor]:
    """Each edge's change from corrupt to clean times the mean gradient at its reader, one value a pair.

    The gradients are taken at points on the line from the corrupt to the clean embedding.
    """
    with torch.no_grad():
        start, stop = plain.run(corrupt).written, plain.run(clean).written
    total: dict[str, Tensor] = {}
    for point in points:
        probes = {reader: torch.zeros_like(start["embed"], requires_grad=True) for reader in plain.readers()}
        embedding = start["embed"] + point * (stop["embed"] - start["embed"])
        run = plain.run(corrupt, lambda reader, _, probes=probes: probes[reader], embedding=embedding)
        found = torch.autograd.grad(metric(run.logits[0]).sum(), [*probes.values()])
        for reader, gradient in zip(probes, found, strict=True):
            total[reader] = total.get(reader, 0) + gradient.float() / len(points)
    changes = {writer: stop[writer].float() - start[writer].float() for writer in start}
    return {(writer, reader): (changes[writer] * total[reader]).sum((1, 2)) for writer, reader in plain.edges()}


@torch.no_grad()
def exchanged(plain: PlainModel, own: Tensor, other: Tensor, sets: Sequence[Iterable[Edge]]) -> Tensor:
    """Logits of the run `own` when each set of edges carries what it does in the run `other`, [set, pair, d_vocab].

    All sets run at once, in copies of the prompts.
    """
    elsewhere = plain.run(other).written
    chosen = [{*edges} for edges in sets]
    by_reader: dict[str, dict[str, Tensor]] = {}
    for writer, reader in {edge for edges in chosen for edge in edges}:
        by_reader.setdefault(reader, {})[writer] = torch.tensor([(writer, reader) in edges for edges in chosen])

    def change(reader: str, written: Written) -> Tensor | None:
        if reader not in by_reader:
            return None
        total = torch.zeros(len(chosen), *own.shape, 1)
        for writer, has in by_reader[reader].items():
            live = written[writer].unflatten(0, (len(chosen), -1))
            total = total + has[:, None, None, None] * (elsewhere[writer].float() - live.float())
        return total.flatten(0, 1).to(elsewhere["embed"].dtype)

    run = plain.run(own.repeat(len(chosen), 1), change)
    return run.logits[0].unflatten(0, (len(chosen), -1))
