"""Read what heads attend to: on one prompt, or on average over prompt pairs that are aligned by named positions.

Modes, for a head that attends from a query with weight a to a key:

- `pattern`: a itself.
- `value_weighted`: a ‖v W_O‖, the length of what the head writes from this key (Kobayashi et al., 2020,
  https://arxiv.org/abs/2004.10102). A norm after attention scales it as in the run. The output bias belongs to no head.
- `difference`: a on the clean prompt minus a on the corrupted prompt.

Several pairs are averaged. If they name positions, rows and columns are those positions, the first and the last token,
and a last column sums up all other tokens, so that a row of a pattern still sums to one. If they name none and have one
length, rows and columns are positions. Cost: one forward pass of each prompt, without gradients.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.caching.recording import bytes_per_prompt, pattern_name
from interp_emerge.core.activations import Prompt, hook_name, run_and_keep, tokens_of
from interp_emerge.core.arguments import checked
from interp_emerge.core.attention import AttentionWeights, Mode
from interp_emerge.core.axes import Tokens
from interp_emerge.core.decoder import Block
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Node
from interp_emerge.core.memory import format_bytes, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.stats.intervals import mean_intervals

OTHERS, FIRST, LAST = "(other tokens)", "(first)", "(last)"
MOST_BYTES = 1 << 31
"""Largest result: weights of all heads at all positions, of every pair that is averaged."""
PerPrompt = Float[np.ndarray, "pair head query key"]
AtPlaces = Float[np.ndarray, "pair head place key_place"]


@checked
def attention_weights(
    model: HookedModel, prompt: Prompt | PromptPairs, *, heads: Iterable[str] | None = None, mode: Mode = "pattern"
) -> AttentionWeights:
    """What heads attend to, as NumPy arrays of shape [head, query, key].

    Args:
        model: the model to run.
        prompt: one prompt as text, which `model.bos` is put in front of, or as token ids, which are run as they are; or
            prompt pairs, of which several are averaged.
        heads: names such as `a5.h1`; by default all heads.
        mode: `pattern`, `value_weighted`, or `difference` (clean minus corrupted; needs pairs).

    Example:
        >>> ie.caching.attention_weights(model, "When Mary and John", heads=["a1.h0"]).weights.shape
        (1, 5, 5)

    Raises:
        UnknownNameError: the model has no head of this name.
        InputError: several prompts that are not pairs, pairs of several lengths without named positions, `difference`
            without pairs, or a result that is too large.
        ModelError: the architecture cannot be split into heads.
    """
    chosen = _heads_named(model, heads)
    if isinstance(prompt, PromptPairs):
        require_pairs(model, prompt)
        found = _one_pair(model, prompt, chosen, mode) if len(prompt) == 1 else _mean(model, prompt, chosen, mode)
    else:
        found = _one_prompt(model, prompt, chosen, mode)
    spec = model.spec
    return AttentionWeights(
        **found,
        heads=tuple(head.name for head in chosen),
        mode=mode,
        model=str(spec),
        size=spec.size,
        step=spec.step,
        seed=spec.seed,
    )


def attention_shape(
    model: HookedModel, prompt: Prompt | PromptPairs, *, heads: Iterable[str] | None = None
) -> tuple[int, int]:
    """How many heads and tokens `attention_weights` would give, without running the model. Errors are the same."""
    n_heads = len(_heads_named(model, heads))
    if not isinstance(prompt, PromptPairs):
        return n_heads, tokens_of(model, prompt).shape[1]
    require_pairs(model, prompt)
    if len(prompt) == 1:
        return n_heads, prompt.length
    return n_heads, len(_places(model, prompt)[1]) + bool(prompt.positions)


def _heads_named(model: HookedModel, names: Iterable[str] | None) -> list[Node]:
    known = {node.name: node for node in model.graph.writers if node.kind == "head"}
    if names is None:
        return [*known.values()]
    wanted = [names] if isinstance(names, str) else [*dict.fromkeys(names)]
    if not wanted:
        raise InputError("heads is an empty list; name at least one head, or leave it out for all heads")
    for name in wanted:
        if name not in known:
            raise UnknownNameError(f"head of {model.spec}", name, known)
    return [known[name] for name in wanted]


def _one_prompt(model: HookedModel, prompt: Prompt, heads: list[Node], mode: Mode) -> dict:
    tokens = tokens_of(model, prompt)
    if len(tokens) > 1:
        raise InputError(f"cannot show {len(tokens)} prompts at once; give one prompt, or ie.PromptPairs to average "
                         "over them")  # fmt: skip
    if mode == "difference":
        raise InputError("mode='difference' compares a clean with a corrupted prompt; give ie.PromptPairs instead of "
                         "one prompt")  # fmt: skip
    _require_small(len(heads), 1, tokens.shape[1])
    [weights] = [part for _, part in _read(model, tokens, heads, mode)]
    uniform = _uniform(model, heads, tokens.shape[1]) if mode == "pattern" else None
    return {"weights": weights[0], "uniform": uniform, "tokens": tuple(model.words(tokens[0].tolist()))}


def _one_pair(model: HookedModel, pair: PromptPairs, heads: list[Node], mode: Mode) -> dict:
    clean = _one_prompt(model, pair.clean, heads, "pattern" if mode == "difference" else mode)
    if mode != "difference":
        return clean
    corrupt = _one_prompt(model, pair.corrupt, heads, "pattern")
    both = zip(clean["tokens"], corrupt["tokens"], strict=True)
    return {
        "weights": clean["weights"] - corrupt["weights"],
        "tokens": tuple(one if one == other else f"{one} / {other}" for one, other in both),
    }


def _mean(model: HookedModel, pairs: PromptPairs, heads: list[Node], mode: Mode) -> dict:
    """Means over pairs at their positions, with intervals."""
    places, names = _places(model, pairs)
    _require_small(len(heads), len(pairs), len(names))
    values, uniform, named = [], [], bool(pairs.positions)
    for rows, group in pairs.by_length():
        at = places[rows.numpy()]
        parts = [_at(part, at[of], others=named) for of, part in _read(model, group.clean, heads, mode)]
        if mode == "difference":
            minus = [_at(part, at[of], others=named) for of, part in _read(model, group.corrupt, heads, "pattern")]
            parts = [one - other for one, other in zip(parts, minus, strict=True)]
        values.append(np.concatenate(parts))
        alike = _uniform(model, heads, group.length)[None]
        uniform.append(_at(np.broadcast_to(alike, (len(at), *alike.shape[1:])), at, others=named).sum(0))
    by_pair = pairs.in_order(values)
    mean, low, high = (one.reshape(by_pair.shape[1:]) for one in mean_intervals(by_pair.reshape(len(pairs), -1)))
    return {
        "weights": mean,
        "low": low,
        "high": high,
        "uniform": sum(uniform) / len(pairs) if mode == "pattern" else None,
        "tokens": (*names, OTHERS) if named else names,
        "n_pairs": len(pairs),
    }


def _places(model: HookedModel, pairs: PromptPairs) -> tuple[np.ndarray, tuple[str, ...]]:
    """The positions that pairs are aligned by, shape [pair, place], in order, and the name of each."""
    lengths = pairs.lengths.numpy()
    if not pairs.positions:
        if len(set(lengths.tolist())) > 1:
            raise InputError(f"pairs of {lengths.min()} to {lengths.max()} tokens without named positions cannot be "
                             "averaged; give pairs with positions=..., or pairs of one length")  # fmt: skip
        places = np.broadcast_to(np.arange(lengths[0]), (len(pairs), lengths[0]))
        named = {f"{place}": places[:, place] for place in range(lengths[0])}
    else:
        named = {name: place.numpy() for name, place in pairs.positions.items()}
        if not any((place == 0).all() for place in named.values()):
            named[FIRST] = np.zeros(len(pairs), dtype=int)
        if not any((place == lengths - 1).all() for place in named.values()):
            named[LAST] = lengths - 1
        named = dict(sorted(named.items(), key=lambda one: float(one[1].mean())))
    return np.stack([*named.values()], 1), tuple(_with_token(model, pairs, *one) for one in named.items())


def _with_token(model: HookedModel, pairs: PromptPairs, name: str, place: np.ndarray) -> str:
    """The name of a position, with the token that stands there if it is the same in all prompts."""
    tokens: set[int] = set()
    for rows, group in pairs.by_length():
        at = torch.as_tensor(place[rows.numpy()])[:, None]
        tokens |= {*group.clean.gather(1, at)[:, 0].tolist(), *group.corrupt.gather(1, at)[:, 0].tolist()}
    return f"{name} {model.words([*tokens])[0].strip()}" if len(tokens) == 1 else name


def _at(weights: PerPrompt, at: np.ndarray, *, others: bool) -> AtPlaces:
    """Weights among some positions of each prompt; with `others`, a last column sums up all other positions."""
    rows = np.take_along_axis(weights, at[:, None, :, None], 2)
    named = np.take_along_axis(rows, at[:, None, None, :], 3)
    if not others:
        return named
    left = np.ones((len(at), weights.shape[3]), dtype=rows.dtype)
    np.put_along_axis(left, at, 0, 1)
    return np.concatenate([named, (rows * left[:, None, None]).sum(3, keepdims=True)], 3)


def _uniform(model: HookedModel, heads: list[Node], length: int) -> Float[np.ndarray, "head query key"]:
    """The weights if heads attended equally to all keys that they see; one entry if all heads see the same."""
    by_layer = {head.layer: _seen(model.decoder.blocks[head.layer], length) for head in heads}
    alike = all(np.array_equal(one, by_layer[heads[0].layer]) for one in by_layer.values())
    seen = np.stack([by_layer[head.layer] for head in (heads[:1] if alike else heads)]).astype(np.float32)
    return seen / seen.sum(-1, keepdims=True)


def _seen(block: Block, length: int) -> np.ndarray:
    unseen = None if block.attention.unseen is None else block.attention.unseen(length)
    return np.tri(length, dtype=bool) if unseen is None else ~unseen.cpu().numpy()


@torch.no_grad()
def _read(model: HookedModel, tokens: Tokens, heads: Sequence[Node], mode: Mode) -> Iterator[tuple[slice, PerPrompt]]:
    """Chunks of prompts, each with the weights of the heads in the given order."""
    layers = sorted({head.layer for head in heads})
    weighted = mode == "value_weighted"
    names = [pattern_name(layer) for layer in layers]
    names += [hook_name(kind, layer) for layer in layers for kind in ("v", "z") if weighted]
    each = bytes_per_prompt(model, tokens.shape[1])
    each += 4 * tokens.shape[1] * model.graph.n_heads * (model.d_model + tokens.shape[1]) if weighted else 0
    n = items_that_fit(each, len(tokens), device=model.device)
    for start in range(0, len(tokens), n):
        rows = slice(start, start + n)
        with model.running():
            kept = run_and_keep(model, tokens[rows].to(model.device), names)[1]
            found: dict[str, Tensor] = {}
            for layer in layers:
                of_layer = [head for head in heads if head.layer == layer]
                pattern = kept.pop(pattern_name(layer))
                if weighted:
                    v, z = kept.pop(hook_name("v", layer)), kept.pop(hook_name("z", layer))
                    pattern = pattern.float() * _lengths(model.decoder.blocks[layer], v, z, pattern)
                found |= {head.name: pattern[:, head.index].float().cpu() for head in of_layer}
        yield rows, torch.stack([found[head.name] for head in heads], 1).numpy()


def _lengths(block: Block, v: Tensor, z: Tensor, pattern: Tensor) -> Float[Tensor, "pair head query_or_1 key"]:
    """Length of what each head would write from each key if it attended to this key only."""
    alone = torch.eye(pattern.shape[3], dtype=pattern.dtype, device=pattern.device).expand_as(pattern)
    values = block.attention.weigh(alone, v)
    weight = block.attention_out.weight().unflatten(1, values.shape[2:])
    terms, norm = torch.einsum("rkhd,mhd->rhkm", values, weight), block.attention_post_norm
    if norm.module is None:
        return terms.float().norm(dim=-1)[:, :, None]
    scale = norm.scale(block.attention_out(z.flatten(2)))[:, None]
    return norm.linear(terms, torch.ones(1, device=terms.device)).float().norm(dim=-1)[:, :, None] * scale


def _require_small(n_heads: int, n_pairs: int, n_tokens: int) -> None:
    size = 4 * n_heads * n_pairs * n_tokens**2
    if size > MOST_BYTES:
        raise InputError(f"the weights of {n_heads:,} heads at {n_tokens:,} positions in {n_pairs:,} prompts take "
                         f"{format_bytes(size)}; name fewer heads, or give fewer or shorter prompts")  # fmt: skip
