"""Score the nodes or edges of a model with a method by name, or say beforehand what that would take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Integral
from time import perf_counter
from typing import Any

import torch

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction, bind_metric
from interp_emerge.caching.recording import record
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError, require_kind
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, Method, NodeScores, Options, PatchingTask, Recorder

CHOICES = {
    "direction": ("denoising", "noising"),
    "mlps": ("frozen", "live"),
    "ablation": ("zero", "mean", "mean_by_position", "resample"),
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What scoring would take on this machine."""

    method: str
    passes: int | float
    """Forward passes over all pairs, a backward pass counted as one and a part of the model as its share."""
    bytes: int
    """Most memory held at once beside the weights."""
    seconds: int | float
    """Time: the passes times one forward pass, which was run to measure it, and what was measured of the method.
    Right within a factor of 2 or 3; an upper bound for exact methods with positions resolved."""


@checked
def score(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    metric: str | MetricFunction = "logit_diff",
    steps: int = 5,
    seed: int = 0,
    budget: int | None = None,
    record: Recorder = record,
    **options: Any,
) -> NodeScores | EdgeScores:
    """The effect of every node or edge on a metric, positive toward the clean run.

    Args:
        model: what to analyse; it is left as it was, also after an error.
        pairs: clean and corrupt prompts.
        method: name of a patching method.
        metric: name of a metric, or a callable from logits after the prompt, shape [pair, d_vocab], and the pairs to
            one value a pair.
        steps: points of integration, for the methods that integrate.
        seed: for the methods that draw at random.
        budget: bytes that the method may use; by default a constant for the kind of device.
        record: gets the activations of a run; by default runs the model.
        options: what the method heeds of `sites`, `positions`, `direction`, `receivers`, `senders`, `mlps`, `ablation`
            and `threshold`: see `Options`.

    Raises:
        UnknownNameError: no method, metric, option, site or position has the name.
        InputError: the pairs do not fit the model, or the metric returns the wrong shape or values that are not finite.
        ModelError: the architecture cannot be split into heads and edges.
    """
    chosen = shelf[method]
    given = options_of(chosen, options)
    with model.running():
        task = _task(model, pairs, metric, steps=steps, seed=seed, budget=budget, options=given, record=record)
        return chosen.run(task)


@checked
def estimate(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    metric: str | MetricFunction = "logit_diff",
    steps: int = 5,
    budget: int | None = None,
    **options: Any,
) -> Estimate:
    """What `score` would take with these arguments: passes, memory and time.

    Raises:
        InterpEmergeError: as `score` does, before it starts.
    """
    chosen = shelf[method]
    given = options_of(chosen, options)
    with model.running():
        task = _task(model, pairs, metric, steps=steps, seed=0, budget=budget, options=given, record=record)
        cost = chosen.cost(task)
        taken = []
        for _ in range(2):
            start = perf_counter()
            for _chunk in model.logits_in_chunks(pairs.clean, budget=budget):
                pass
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            taken.append(perf_counter() - start)
    return Estimate(
        method=method, passes=cost.passes, bytes=cost.bytes, seconds=cost.passes * cost.seconds_per_pass * min(taken)
    )


def options_of(method: Method, given: Mapping[str, Any]) -> Options:
    """Options by name, checked against what the method heeds.

    Raises:
        UnknownNameError: there is no such option.
        InputError: the method does not heed the option, or it has no such value.
    """
    known = [field.name for field in fields(Options)]
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError("option", name, ["steps", "seed", "budget", *known])
        if value is None:
            continue
        if name not in method.options:
            takes = ", ".join(method.options) or "none"
            raise InputError(f"{method.name} takes no option {name!r} (options that it takes: {takes})")
        if name in CHOICES and (not isinstance(value, str) or value not in CHOICES[name]):
            raise UnknownNameError(name, value, CHOICES[name])
        all_of_them = name == "positions" and isinstance(value, str) and value == "all"
        if name in ("sites", "receivers", "senders", "positions") and not all_of_them:
            require_kind(value, (str, Integral, Iterable), name, "one name or a list of names")
            alone = isinstance(value, str) or not isinstance(value, Iterable)
            chosen[name] = tuple(dict.fromkeys(map(str, [value] if alone else value)))
            if not chosen[name]:
                raise InputError(f"{name} is empty; name at least one, or leave it out")
        elif name == "threshold" and not (isinstance(value, int | float) and isfinite(value)):
            raise InputError(f"threshold {value} is no number to compare with; give one in the metric's unit")
        else:
            chosen[name] = value
    return Options(**chosen)


def _task(model: HookedModel, pairs: PromptPairs, metric: str | MetricFunction, **more: Any) -> PatchingTask:
    with torch.no_grad():
        bound = bind_metric(metric, model, pairs, budget=more["budget"])
    task = PatchingTask(model=model, pairs=pairs, metric=bound, **more)
    _ = task.places
    return task
