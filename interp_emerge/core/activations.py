"""Activations of a run under TransformerLens's names, and runs in which they are kept or replaced.

Names are those of `HOOKS`, such as `blocks.3.attn.hook_z`. Each activation can also be found by its kind and layer:
`cache["z", 3]`. In parallel blocks there is no `resid_mid`, since the MLP does not read what attention has written.

The model runs in its parts (`core.decoder`), so every activation that is replaced acts on all that comes after it.
Activations inside an MLP are not parts. `model.bridge` is a TransformerBridge with names for them too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interp_emerge.core.agreement import Reach
from interp_emerge.core.axes import LogitsByPosition, Patterns, Residual, Tokens
from interp_emerge.core.errors import InputError, UnknownNameError, described
from interp_emerge.core.memory import bytes_of_run, items_that_fit
from interp_emerge.core.record import Record

if TYPE_CHECKING:
    from interp_emerge.core.model import HookedModel

HOOKS = {
    "resid_pre": "blocks.{layer}.hook_resid_pre",
    "q": "blocks.{layer}.attn.hook_q",
    "k": "blocks.{layer}.attn.hook_k",
    "v": "blocks.{layer}.attn.hook_v",
    "pattern": "blocks.{layer}.attn.hook_pattern",
    "z": "blocks.{layer}.attn.hook_z",
    "attn_out": "blocks.{layer}.hook_attn_out",
    "resid_mid": "blocks.{layer}.hook_resid_mid",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "resid_post": "blocks.{layer}.hook_resid_post",
}
"""Name of each kind of activation, in the order of a run.

The stream before, within and after a block, and what attention and the MLP add to it, have shape [prompt, pos,
d_model]. Queries and z have shape [prompt, pos, head, d_head]; keys and values have one head for each group of heads
that share them. Patterns have shape [prompt, head, query, key]. Queries and keys are those before any norm or rotation.
"""
Prompt = str | Sequence[Any] | Tensor
"""A text, texts of equal length, or token ids of shape [pos] or [prompt, pos]."""
SEEN = {"q": "q", "k": "k", "z": "head", "mlp_out": "mlp", "resid_post": "resid_pre"}
"""Kinds whose size decides whether a run is compared with the model: see `core.agreement`."""


@dataclass(frozen=True)
class HookPoint:
    """Where an activation is: its kind and its layer. `name` and `layer()` are those of TransformerLens."""

    kind: str
    at: int

    @property
    def name(self) -> str:
        return hook_name(self.kind, self.at)

    def layer(self) -> int:
        """The number of the layer, from 0."""
        return self.at


Hook = Callable[[Tensor, HookPoint], Tensor | None]
"""Takes an activation and where it is; returns what replaces it, or None to leave it."""


def hook_name(kind: str, layer: int) -> str:
    """TransformerLens's name of a kind of activation in a layer.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in HOOKS:
        raise UnknownNameError("kind of activation", kind, HOOKS)
    return HOOKS[kind].format(layer=layer)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording(Record):
    """Activations of one model on one set of prompts, by hook name; the first axis is the prompt."""

    activations: Mapping[str, Tensor]

    def __repr__(self) -> str:
        return f"Recording({len(self.activations)} activations: {', '.join([*self.activations][:4])}, …)"

    def patterns(self, n_layers: int) -> Patterns:
        """Attention patterns of all heads, shape [prompt, layer, head, query, key]."""
        return torch.stack([self["pattern", layer] for layer in range(n_layers)], 1)

    def __getitem__(self, key: Any) -> Any:
        """An activation by its name, or by kind and layer: `recording["z", 3]`. With a slice, some of the prompts.

        Raises:
            UnknownNameError: the recording does not have it.
        """
        if isinstance(key, slice):
            return Recording(activations={name: tensor[key] for name, tensor in self.activations.items()})
        name = hook_name(*key) if isinstance(key, tuple) and len(key) == 2 else key
        if not isinstance(name, str) or name not in self.activations:
            raise UnknownNameError("recorded activation", name, self.activations)
        return self.activations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.activations)

    def __len__(self) -> int:
        return len(self.activations)

    def __contains__(self, name: object) -> bool:
        return name in self.activations


def points(model: "HookedModel") -> dict[str, HookPoint]:
    """Every activation of a model's parts by name, in the order of a run."""
    found = {}
    for layer, block in enumerate(model.decoder.blocks):
        kinds = [kind for kind in HOOKS if not (block.parallel and kind == "resid_mid")]
        found |= {hook_name(kind, layer): HookPoint(kind, layer) for kind in kinds}
    return found


def tokens_of(model: "HookedModel", prompt: Prompt) -> Tokens:
    """Token ids of a text or of several, behind the tokens that the model's prompts begin with; or ids as given.

    Raises:
        InputError: texts of different lengths, or something that is neither text nor whole numbers.
    """
    if isinstance(prompt, str):
        prompt = [prompt]
    if isinstance(prompt, Sequence) and prompt and all(isinstance(text, str) for text in prompt):
        prompt = [model.bos + model.encode(str(text)) for text in prompt]
    if isinstance(prompt, Sequence) and prompt and all(isinstance(row, Sequence) for row in prompt):
        lengths = sorted({len(row) for row in prompt})
        if len(lengths) > 1:
            raise InputError(f"prompts of one run need one length, and these have {lengths[0]} to {lengths[-1]} "
                             "tokens; run those of each length by themselves")  # fmt: skip
    try:
        tokens = torch.as_tensor(prompt, device=model.device)
    except (TypeError, ValueError, RuntimeError):
        tokens = torch.empty(0)
    if tokens.ndim == 1:
        tokens = tokens[None]
    if tokens.ndim != 2 or not tokens.numel() or tokens.is_floating_point() or tokens.dtype == torch.bool:
        raise InputError(f"cannot run {described(prompt)}; give a text, a list of texts, or token ids of shape [pos] "
                         "or [prompt, pos]")  # fmt: skip
    model.require_tokens(tokens)
    return tokens


@torch.no_grad()
def run_with_cache(
    model: "HookedModel", tokens: Tokens, names: Iterable[str] | None
) -> tuple[LogitsByPosition, Recording]:
    """Logits and activations of a run: see `HookedModel.run_with_cache`."""
    known = points(model)
    wanted = [*known] if names is None else [names] if isinstance(names, str) else [*names]
    for name in wanted:
        if name not in known:
            raise _unknown(name, known)
    each, logits, parts = bytes_of_run(model.shape, tokens.shape[1], tokens.shape[1]), [], []
    for rows in tokens.split(items_that_fit(each, len(tokens), device=model.device)):
        with model.running():
            stream, kept = run_and_keep(model, rows, wanted)
            logits.append(model.decoder.logits(stream))
        parts.append(kept)
    return torch.cat(logits), Recording(activations={name: torch.cat([one[name] for one in parts]) for name in wanted})


def run_and_keep(model: "HookedModel", tokens: Tokens, names: Iterable[str]) -> tuple[Residual, dict[str, Tensor]]:
    """The stream after the last block, and the named activations. The run is compared with the model's own logits.

    To be called while the model is `running`.

    Raises:
        ModelError: the model's own logits are different.
    """
    kept, reach, wanted = dict[str, Tensor](), Reach(), {*names}

    def keep(value: Tensor, point: HookPoint) -> None:
        if point.kind in SEEN:
            reach.see(SEEN[point.kind], value)
        if point.name in wanted:
            kept[point.name] = value

    hooks = {hook_name(kind, layer): [keep] for kind in SEEN for layer in range(len(model.decoder.blocks))}
    stream = _run(model, tokens, hooks | {name: [keep] for name in wanted})
    model.require_agreement(tokens, stream[:, -1], reach)
    return stream, kept


def run_with_hooks(model: "HookedModel", tokens: Tokens, fwd_hooks: Iterable[tuple[object, Hook]]) -> LogitsByPosition:
    """Logits of a run in which activations are replaced: see `HookedModel.run_with_hooks`."""
    known = points(model)
    hooks: dict[str, list[Hook]] = {}
    for where, function in fwd_hooks:
        if not callable(where) and where not in known:
            raise _unknown(where, known)
        chosen = [name for name in known if where(name)] if callable(where) else [str(where)]
        for name in chosen:
            hooks.setdefault(name, []).append(function)
    with model.running():
        return model.decoder.logits(_run(model, tokens, hooks))


def _unknown(name: object, known: Mapping[str, HookPoint]) -> UnknownNameError:
    """The error on a name that a model's parts do not have."""
    return UnknownNameError("activation of the model's parts (others are reached through model.bridge)", name, known)


def _run(model: "HookedModel", tokens: Tokens, hooks: Mapping[str, Sequence[Hook]]) -> Residual:
    """The stream after the last block, with every hook called on its activation."""

    def at(kind: str, layer: int, value: Tensor) -> Tensor:
        point = HookPoint(kind, layer)
        for function in hooks.get(point.name, ()):
            value = _replaced(value, function(value, point), point)
        return value

    stream = model.decoder.embed(tokens)
    for layer, block in enumerate(model.decoder.blocks):
        stream = at("resid_pre", layer, stream)
        q, k, v = block.project(block.attention_norm(stream))
        q, k, v = at("q", layer, q), at("k", layer, k), at("v", layer, v)
        z = None
        if hook_name("pattern", layer) in hooks:
            pattern = block.attention.pattern(q, k)
            if (replaced := at("pattern", layer, pattern)) is not pattern:
                z = block.attention.weigh(replaced, v)
        z = at("z", layer, block.attention.mix(q, k, v) if z is None else z)
        attended = stream + at("attn_out", layer, block.attention_writes(z))
        if not block.parallel:
            attended = at("resid_mid", layer, attended)
        written = at("mlp_out", layer, block.mlp_writes(block.mlp_reads(stream, attended)))
        stream = at("resid_post", layer, attended + written)
    return stream


def _replaced(value: Tensor, by: object, point: HookPoint) -> Tensor:
    """What a hook has returned, or the value if that is None."""
    if by is None:
        return value
    if not isinstance(by, Tensor) or by.shape != value.shape:
        given = f"a tensor of shape {list(by.shape)}" if isinstance(by, Tensor) else described(by)
        raise InputError(f"the hook at {point.name} returns {given}; give a tensor of shape {list(value.shape)}, or "
                         "None to leave the activation")  # fmt: skip
    return by.to(value)
