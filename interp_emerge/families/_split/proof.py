"""Prove that the parts of a model compute the same numbers as the model itself.

1. `require_equal_logits` compares their logits on short random prompts, when a model is first split.
2. `require_agreement` compares them on the prompts that are analysed. Windows, scaled queries and rotations matter only
   beyond some length, and clamps and caps only for some values.
3. `require_pointwise` and `require_gradients` check what exact methods and gradient methods assume of MLPs; `linear`
   checks what they assume of linear modules and norms.

In half precision, rounding alone moves the logits of a trained model by a fifth of their spread, more than wrong
readings do. So in half precision each block is compared instead: it runs a second time in float32, on the inputs that
the model itself gives it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interp_emerge.core.decoder import Block, Decoder, only_running
from interp_emerge.core.errors import ModelError
from interp_emerge.core.whole import run_whole
from interp_emerge.families._split.handed import HandedParts, handed, random_prompts, watching
from interp_emerge.families._split.linear import FULL
from interp_emerge.families._split.reasons import known_reason, not_split
from interp_emerge.families._split.shape import graph_of_config, short_length

TOLERANCE = 1e-3
"""Root of the mean squared difference of the logits, or of what a block adds, as a fraction of their spread. On random
models of 3 to 24 layers, right readings of every architecture differ by up to 8e-7. Wrong readings differ by 0.023 (a
scale off by a tenth), 0.13 (no linear biases by distance), 0.2 (no norm of queries), 0.2 (attention without its scale),
0.3 (no rotation), 0.3 (no softcap) and 0.35 (a window wider by one)."""
HALF_PRECISION = 0.07
"""The same for the last norm and the unembedding in half precision, where right readings differ by up to 0.034."""
GRADIENT_TOLERANCE = 0.01
"""Median difference between a slope along a random direction and the gradient, as a fraction of the slope. It is at
most 0.001 in MLPs and attention of every architecture, and 0.005 in OPT, whose activation has kinks."""
STREAM = ("hidden_states", "x", "hidden_state")
"""Argument names under which blocks receive the residual stream."""
COUNTS = ("the number of layers", "the number of heads", "the number of keys", "the number of values")
FORMS = (
    "whether attention and MLP read the same stream",
    "whether one norm runs over all heads",
    "whether a norm follows attention",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A Hugging Face model and how its blocks are read."""

    hf: Any
    blocks: Sequence[nn.Module]
    read: Callable[[int, nn.Module, HandedParts], Block]
    """Maps a block's number, its module and the masks and rotations of the model to the block's parts."""


def require_same_shape(hf: Any, decoder: Decoder) -> None:
    """Raise a `ModelError` unless all blocks have one form and the configuration's number of heads."""
    graph = graph_of_config(hf.config)
    expected = (graph.n_layers, graph.n_heads, graph.n_kv_heads, graph.n_kv_heads)
    for layer, block in enumerate(decoder.blocks):
        found = (len(decoder.blocks), *(side.n_heads for side in (block.q, block.k, block.v)))
        for what, there, wanted in zip(COUNTS, found, expected, strict=True):
            if there != wanted:
                reason = f"{what} is {wanted} in the configuration but {there} in the modules of layer {layer}"
                raise not_split(hf, reason)
        for what, here, first in zip(FORMS, block.form, decoder.blocks[0].form, strict=True):
            if here != first:
                raise not_split(hf, f"{what} differs between layer {layer} and the first layer")


@torch.no_grad()
def require_equal_logits(reading: Reading, decoder: Decoder) -> None:
    """Raise a `ModelError` unless the decoder computes the model's own logits on short random prompts."""
    hf = reading.hf
    tokens = random_prompts(hf, 2, short_length(hf))
    with only_running(hf):
        if hf.dtype not in FULL:
            _require_equal_blocks(reading, decoder, tokens)
            return
        expected, stream = run_whole(hf, tokens), decoder.run(tokens)
        found = decoder.logits(stream)
        # Some metrics compute a few logits only; these must equal the logits over the whole vocabulary.
        few = torch.arange(min(4, expected.shape[-1]), device=tokens.device).expand(*tokens.shape, -1)
        found[..., : few.shape[-1]] = decoder.logits(stream, few)
    _require_near(hf, found, expected, TOLERANCE, "")


@torch.no_grad()
def require_agreement(reading: Reading, decoder: Decoder, tokens: Tensor, last: Tensor) -> None:
    """Raise a `ModelError` unless the decoder gives the model's own logits after the last token of each prompt.

    Args:
        reading: the model, and how its blocks are read.
        decoder: its parts.
        tokens: prompts, shape [row, pos].
        last: the decoder's stream after the last block at the prompts' last position, shape [row, d_model].
    """
    hf = reading.hf
    with only_running(hf):
        if hf.dtype in FULL:
            expected = run_whole(hf, tokens, keep=1)[:, -1]
            _require_near(hf, decoder.logits(last), expected, TOLERANCE, f"on prompts of {tokens.shape[1]} tokens ")
        else:
            _require_equal_blocks(reading, decoder, tokens)


def _require_near(hf: Any, found: Tensor, expected: Tensor, tolerance: float, where: str) -> None:
    found, expected = found.double(), expected.double()
    spread = expected.std(-1).clamp_min(torch.finfo(expected.dtype).tiny)
    difference = float(((found - expected).square().mean(-1).sqrt() / spread).max())
    if not torch.isfinite(expected).all():
        raise ModelError(f"the model's own logits are not finite {where}in {str(hf.dtype).removeprefix('torch.')}; "
                         "load it in another dtype")  # fmt: skip
    if not difference < tolerance:
        raise not_split(hf, f"{where}its parts do not give the model's logits (difference: {difference:.1g} standard "
                            f"deviations){_suspects(hf)}")  # fmt: skip


def _require_equal_blocks(reading: Reading, decoder: Decoder, tokens: Tensor) -> None:
    """Raise a `ModelError` unless, in float32, the parts of every block add what the block adds.

    Each block must also receive the stream that the previous block returned, and the last stream must give the logits.
    """
    hf, end = reading.hf, None
    where = f"on prompts of {tokens.shape[1]} tokens"
    for layer, seen in enumerate(observed(hf, reading.blocks, tokens)):
        if end is not None and not torch.equal(seen.given, end):
            raise not_split(hf, f"{where} something between layers {layer - 1} and {layer} changes the residual "
                                f"stream{_suspects(hf)}")  # fmt: skip
        end = seen.made
        with seen:
            (difference,) = differences(seen, iter([reading.read(layer, seen.block, seen.handed)]))
        if not difference < TOLERANCE:
            raise not_split(hf, f"{where} the parts of layer {layer} do not add what the layer adds (relative "
                                f"difference: {difference:.1g}){_suspects(hf)}")  # fmt: skip
    assert end is not None
    _require_near(hf, decoder.logits(end[:, -1:]), run_whole(hf, tokens, keep=1), HALF_PRECISION, "")


class Observed:
    """One block of a model with the input and output of one run. While open, the block computes in float32."""

    def __init__(self, block: nn.Module, call: dict[str, Any], made: Tensor, n_layers: int) -> None:
        name = next((name for name in STREAM if name in call), next(iter(call)))
        self.block, self.given, self.made = block, call[name], made
        self._rest = {key: value for key, value in call.items() if key != name}
        self._n_layers, self._open = n_layers, ExitStack()
        self.wide = block_dtype(block) not in FULL

    @property
    def handed(self) -> HandedParts:
        """The block's mask and rotation, in the precision in which it computes now."""
        rest = {key: _widened(value) for key, value in self._rest.items()} if self.wide else self._rest
        return _HandedOnce(rest, self.given.shape[1], self._n_layers)

    def added(self) -> tuple[Tensor, Tensor]:
        """The stream that the block received, and what the block itself adds to it."""
        if not self.wide:
            return self.given, self.made - self.given
        stream = self.given.float()
        rest = {key: _widened(value) for key, value in self._rest.items()}
        return stream, _first(self.block(stream, **rest)) - stream

    def __enter__(self) -> "Observed":
        if self.wide:
            self._open.enter_context(_in_float32(self.block))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def observed(hf: Any, blocks: Sequence[nn.Module], tokens: Tensor | None = None) -> list[Observed]:
    """The input and output of each block in one run, by default on short random prompts."""
    made: dict[int, Tensor] = {}
    tokens = random_prompts(hf, 2, short_length(hf)) if tokens is None else tokens
    with torch.no_grad(), only_running(hf), ExitStack() as hooks:
        for layer, block in enumerate(blocks):
            hook = block.register_forward_hook(lambda _b, _a, out, layer=layer: made.__setitem__(layer, _first(out)))
            hooks.callback(hook.remove)
        calls = hooks.enter_context(watching(blocks))
        run_whole(hf, tokens, keep=1)
    if len(made) < len(blocks) or not all(calls):
        raise not_split(hf, "its blocks run without their hooks, as after compiling it in place; give the model as it "
                            "was before torch.compile")  # fmt: skip
    return [Observed(block, calls[layer], made[layer], len(blocks)) for layer, block in enumerate(blocks)]


def differences(seen: Observed, ways: Iterator[Block], broken: tuple[type[Exception], ...] = ()) -> Iterator[float]:
    """For each reading of a block: the largest difference between what it adds and what the block adds, as a fraction.

    Infinite if the reading cannot be run.
    """
    with torch.no_grad():
        stream, added = (values.detach() for values in seen.added())
    size = added.square().mean(-1).sqrt().clamp_min(1e-30)
    for way in ways:
        try:
            with torch.no_grad():
                found = way.run(stream) - stream
                off = float(((found - added).square().mean(-1).sqrt() / size).max())
            yield off
        except broken:
            yield math.inf


def block_dtype(block: nn.Module) -> torch.dtype:
    """The precision in which a block computes."""
    floats = (one.dtype for one in block.parameters() if one.is_floating_point())
    return next(floats, torch.float32)


class _HandedOnce(HandedParts):
    """The mask and rotation of one block, returned for every layer."""

    def __init__(self, call: dict[str, Any], length: int, n_layers: int) -> None:
        super().__init__(None, ())
        self._found = (handed(call, length, {}),) * n_layers

    def at(self, length: int) -> tuple:
        return self._found


@contextmanager
def _in_float32(module: nn.Module) -> Iterator[None]:
    """While open, the module computes in float32; afterwards it has its own weights again, unchanged.

    A copy of the module would not do: offloading and steering replace methods, and such methods stay bound to the
    original module.
    """
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    own = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _widened(value: Any) -> Any:
    """A value with its half-precision tensors in float32, those in tuples too."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    return tuple(map(_widened, value)) if isinstance(value, tuple) else value


def _suspects(hf: nn.Module) -> str:
    """What in the model may cause the difference, for the error."""
    hooked = [name for name, module in hf.named_modules() if module._forward_hooks or module._forward_pre_hooks]
    if hooked:
        return f" (it carries forward hooks, on {hooked[0] or 'the model'}: remove them)"
    reason = known_reason(hf)
    return f" ({reason})" if reason else ""


@torch.no_grad()
def require_pointwise(reading: Reading, decoder: Decoder) -> None:
    """Raise a `ModelError` unless MLPs treat positions independently: exact methods run them on some positions."""
    hf = reading.hf
    x = torch.randn(2, 6, hf.config.hidden_size, generator=torch.Generator().manual_seed(0)).to(hf.device)
    some = slice(2, 4)
    for layer, (block, module) in enumerate(zip(decoder.blocks, reading.blocks, strict=True)):
        with only_running(hf), _in_float32(module) if block_dtype(module) not in FULL else nullcontext():
            dtype = torch.float32 if block_dtype(module) not in FULL else block_dtype(module)
            whole, part = block.mlp(x.to(dtype))[:, some], block.mlp(x[:, some].contiguous().to(dtype))
        size = whole.square().mean(-1).sqrt().clamp_min(1e-30)
        difference = float(((whole - part).square().mean(-1).sqrt() / size).max())
        if not difference < TOLERANCE:
            raise not_split(hf, f"the MLP of layer {layer} does not treat positions independently (relative "
                                f"difference on a part of the prompt: {difference:.1g}){_suspects(hf)}")  # fmt: skip


def require_gradients(reading: Reading, decoder: Decoder) -> None:
    """Raise a `ModelError` unless MLPs, and attention with norms, have gradients that agree with their slopes.

    A layer that rounds its inputs to few values, as quantised layers do, has no gradient that predicts the effect of a
    change. Models in half precision are tried in float32.
    """
    hf, generator = reading.hf, torch.Generator().manual_seed(0)
    with torch.no_grad(), only_running(hf):
        # Masks and rotations of this length are taken from the model before a block is in another precision.
        decoder.run(random_prompts(hf, 1, short_length(hf)))
    for layer, (block, module) in enumerate(zip(decoder.blocks, reading.blocks, strict=True)):
        with only_running(hf), _in_float32(module) if block_dtype(module) not in FULL else nullcontext():
            dtype = torch.float32 if block_dtype(module) not in FULL else block_dtype(module)
            for what, function, shape in _differentiated(hf, block):
                x, direction, read = torch.randn(3, *shape, generator=generator).to(hf.device, dtype)
                difference = _off_slope(function, x, direction, read)
                if difference:
                    raise ModelError(f"{what} of layer {layer} has no gradient that predicts the effect of a change "
                                     f"({difference}), as in layers that quantise their inputs; use a method that runs "
                                     "the model, such as activation_patching or exact_edges, or use layers with full "
                                     "weights")  # fmt: skip


def _differentiated(hf: Any, block: Block) -> Iterator[tuple[str, Callable[[Tensor], Tensor], tuple[int, ...]]]:
    """What gradient methods differentiate in a block: its name, its function, and the shape of its input."""
    yield "the MLP", block.mlp, (1, 8, hf.config.hidden_size)
    if block.attention.query_norm is None and block.attention.key_norm is None:
        return
    heads = (block.q.n_heads, block.k.n_heads, block.v.n_heads)
    length, width = short_length(hf), block.q.weight().shape[1]

    def attend(x: Tensor) -> Tensor:
        q, k, v = x.split(heads, 2)
        return block.attention.weigh(block.attention.pattern(q, k), v)

    yield "attention", attend, (4, length, sum(heads), width)


def _off_slope(function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor, read: Tensor) -> str:
    """How the gradient of a function differs from its slope along a direction; empty if it does not."""
    step = 0.01

    def value(x: Tensor) -> Tensor:
        """A number for each row of an MLP, or for each prompt of attention, which mixes rows."""
        made = function(x)
        found = made * read[..., : made.shape[2], :] if made.ndim == 4 else made * read
        return found.flatten(1).sum(-1) if made.ndim == 4 else found.sum(-1)

    with torch.enable_grad():
        start = x.clone().requires_grad_()
        found = value(start)
        (gradient,) = torch.autograd.grad(found.sum(), start, allow_unused=True) if found.requires_grad else (None,)
    if gradient is None or not torch.isfinite(gradient).all():
        return "it has no gradient at all"
    with torch.no_grad():
        slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    along = gradient * direction
    predicted = along.flatten(1).sum(-1) if x.ndim == 4 else along.sum(-1)
    off = float(((predicted - slope).abs() / slope.abs().clamp_min(1e-30)).median())
    if off < GRADIENT_TOLERANCE or not float(slope.abs().max()):
        return ""
    return f"relative difference from the slope: {off:.1g}"
