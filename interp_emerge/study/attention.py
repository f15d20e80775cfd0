"""Show what heads attend to: run one or several models on a prompt or on pairs, and view them together.

Several models are any iterable of models, such as `(family.load("560k", step) for step in family.steps("560k"))`. They
are run one after another, so a generator keeps only one in memory.
"""

from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.attention import attention_weights
from interp_emerge.core.activations import Prompt
from interp_emerge.core.arguments import checked
from interp_emerge.core.attention import AttentionWeights, Mode
from interp_emerge.core.errors import InputError, UnknownNameError, require_kind
from interp_emerge.core.memory import format_bytes
from interp_emerge.core.model import HookedModel
from interp_emerge.figures.attention.view import AttentionView, Renderer

MOST_BYTES = 200 << 20
"""Largest page: browsers open larger ones slowly or not at all."""


@checked
def attention(
    model: HookedModel | Iterable[HookedModel],
    prompt: Prompt | PromptPairs,
    *,
    heads: Iterable[str] | None = None,
    mode: Mode = "pattern",
    other: HookedModel | None = None,
    roles: Any = None,
    renderer: Renderer = "own",
) -> AttentionView:
    """What heads attend to, as a view that shows itself in notebooks; `.save("x.html")` writes a page.

    Args:
        model: a model, or several: any iterable, of which one at a time is kept. Several get sliders for what differs
            among size, step and seed.
        prompt: text, token ids, or prompt pairs; several pairs are averaged at their named positions, with intervals.
        heads: names such as `a5.h1`; by default all. Each of several models needs at least one of them.
        mode: `pattern`; `value_weighted`, by the length of what is written; or `difference`, clean minus corrupted.
        other: a model to show beside the first one.
        roles: scores beside each head: a table such as `ie.role_table(model)`, or `{head: {role: score}}`.
        renderer: `own`, or `circuitsvis` for one model with at most 64 heads and 64 tokens.

    Example:
        >>> ie.attention(model, "When Mary and John met at the park", heads=["a1.h0"])
        AttentionView(pattern of 1 head × 9 tokens, ...)

    Raises:
        UnknownNameError: no model has one of the heads, or a model has none of them.
        InputError: token ids for models with different vocabularies, or any error of `ie.caching.attention_weights`.
    """
    frames: list[AttentionWeights] = []
    vocabulary: str | None = None
    known: dict[str, None] = {}
    names = None if heads is None else [heads] if isinstance(heads, str) else [*heads]
    for one in _models(model, other):
        if not isinstance(prompt, str):
            if vocabulary not in (None, one.vocabulary):
                raise InputError(f"{one.spec} has another vocabulary than {frames[0].label}, so the same token ids "
                                 "mean other tokens; give the prompt as text")  # fmt: skip
            vocabulary = one.vocabulary
        of_model = one.graph.writer_names
        there = None if names is None else [name for name in names if name in of_model]
        known |= dict.fromkeys(of_model)
        frames.append(attention_weights(one, prompt, heads=there or names, mode=mode))
        if (size := sum(frame.weights.nbytes for frame in frames)) > 4 * MOST_BYTES:
            raise InputError(f"the weights of {len(frames)} models take {format_bytes(size)}; name fewer heads, or "
                             "give a shorter prompt or fewer models")  # fmt: skip
    if not frames:
        raise InputError("model is an empty list; give at least one model")
    for name in names or ():
        if name not in known:
            raise UnknownNameError("head of these models", name, known)
    beside = len(frames) - 1 if other is not None else None
    return AttentionView(frames=tuple(frames), roles=roles, beside=beside, renderer=renderer)


def _models(model: HookedModel | Iterable[HookedModel], other: HookedModel | None) -> Iterable[HookedModel]:
    several = (model,) if isinstance(model, HookedModel) else model
    for one in tqdm(several, desc="attention, models", delay=2, disable=isinstance(model, HookedModel)):
        require_kind(one, HookedModel, "model", "models as ie.hook(...) or family.load(...) return them")
        yield one
    if other is not None:
        yield other
