"""Score the nodes or edges of a model with a method by name, or say beforehand what that would take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch

from interp_emerge.abilities.metrics import MetricFunction, bind_metric
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.memory import CPU_BUDGET
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.patching import shelf
from interp_emerge.patching.base import (
    EdgeScores,
    Method,
    NodeScores,
    PatchingTask,
    Recorder,
    origin_of_pairs,
    require_within,
)
from interp_emerge.patching.engines.options import AtPositions, NoOptions, Option


@dataclass(frozen=True, kw_only=True)
class Estimate(Record):
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
    budget: int | None = None,
    record: Recorder = record,
    **options: Any,
) -> NodeScores | EdgeScores:
    """The effect of every node or edge on a metric, positive toward the clean run.

    Example:
        >>> scores = ie.score(model, pairs, method="eap_ig", steps=5)
        >>> scores.to_frame().nlargest(5, "score")

    Args:
        model: what to analyse; it is left as it was, also after an error.
        pairs: clean and corrupt prompts. Pairs of several lengths are scored in groups of one length.
        method: name of a patching method.
        metric: name of a metric, or a callable from logits after the prompt, shape [pair, d_vocab], and the pairs to
            one value a pair.
        budget: bytes that the method may use; by default a constant for the kind of device.
        record: gets the activations of a run; by default runs the model.
        options: the method's own, such as `steps` of `eap_ig` or `positions` of many; None leaves one to the method.
            Each method's file declares them, and `interp-emerge score --help` lists them all.

    Raises:
        UnknownNameError: no method, metric, option, site or position has the name.
        InputError: the pairs do not fit the model, they have several lengths and the method needs one, or the metric
            returns the wrong shape or values that are not finite.
        ModelError: the architecture cannot be split into heads and edges.
    """
    chosen = shelf[method]
    given = options_of(chosen, options)
    groups = _groups_of_one_length(pairs, chosen, given)
    found: list[NodeScores | EdgeScores] = []
    with model.running():
        for group in groups:
            task = _task(model, group, metric, budget=budget, options=given, record=record)
            found.append(chosen.run(task))
    return found[0] if len(groups) == 1 else _joined(model, pairs, found, budget)


@checked
def estimate(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    metric: str | MetricFunction = "logit_diff",
    budget: int | None = None,
    **options: Any,
) -> Estimate:
    """What `score` would take with these arguments: passes, memory and time.

    Example:
        >>> ie.estimate(model, pairs, method="exact_edges").passes > ie.estimate(model, pairs, method="eap").passes
        True

    Raises:
        InterpEmergeError: as `score` does, before it starts.
    """
    chosen = shelf[method]
    given = options_of(chosen, options)
    costs, of_a_pass = [], []
    with model.running():
        for group in _groups_of_one_length(pairs, chosen, given):
            task = _task(model, group, metric, budget=budget, options=given, record=record)
            costs.append(chosen.cost(task))
            of_a_pass.append(min(_seconds_of_a_pass(model, group, budget) for _ in range(2)))
    shares = np.array(of_a_pass) / sum(of_a_pass)
    return Estimate(
        method=method,
        passes=float(shares @ [cost.passes for cost in costs]) if len(costs) > 1 else costs[0].passes,
        bytes=max(cost.bytes for cost in costs),
        seconds=sum(
            cost.passes * cost.seconds_per_pass * seconds for cost, seconds in zip(costs, of_a_pass, strict=True)
        ),
    )


def _seconds_of_a_pass(model: HookedModel, pairs: PromptPairs, budget: int | None) -> float:
    start = perf_counter()
    for _chunk in model.logits_in_chunks(pairs.clean, budget=budget):
        pass
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return perf_counter() - start


def _groups_of_one_length(pairs: PromptPairs, method: Method, options: NoOptions) -> list[PromptPairs]:
    """The pairs in groups that a method can score one after the other.

    Positions that are given as numbers become named positions, because one counted from the end is another index in
    each group.
    """
    groups = [group for _, group in pairs.by_length()]
    if len(groups) == 1:
        return groups
    if options.mixes_pairs:
        pairs.require_one_length(f"method {method.name!r} with these options")
    wanted = options.positions if isinstance(options, AtPositions) else None
    if wanted == "all":
        pairs.require_one_length("positions='all'")
    shortest = groups[0].length
    places: dict[str, int] = {}
    for name in wanted or ():
        if name not in pairs.positions and name.removeprefix("-").isdecimal():
            places[name] = require_within(int(name), shortest)
    return [
        replace(
            group,
            positions=dict(group.positions) | {name: torch.full((len(group),), at) for name, at in places.items()},
        )
        for group in groups
    ]


def _joined(
    model: HookedModel, pairs: PromptPairs, parts: Sequence[NodeScores | EdgeScores], budget: int | None
) -> NodeScores | EdgeScores:
    """The scores of all pairs from those of groups of one length, with the origin of all pairs."""
    edges = [part for part in parts if isinstance(part, EdgeScores)]
    if edges:
        joined = joined_edges(edges, pairs, budget=CPU_BUDGET if budget is None else budget)
    else:
        per_pair = [part.per_pair for part in parts if isinstance(part, NodeScores)]
        joined = replace(parts[0], per_pair=pairs.in_order(per_pair))
    return replace(joined, origin=joined.origin | origin_of_pairs(model, pairs))


def joined_edges(parts: Sequence[EdgeScores], pairs: PromptPairs, *, budget: int) -> EdgeScores:
    """Scores of all pairs from those of each group of `pairs.by_length()`.

    The values of each pair are kept if all parts have them and they need at most `budget` bytes. Otherwise mean and
    standard error come from those of the groups.
    """
    first = parts[0]
    kept = [part.per_pair for part in parts if part.per_pair is not None]
    if len(kept) == len(parts) and sum(values.nbytes for values in kept) <= budget:
        per_pair = pairs.in_order(kept)
        return EdgeScores.from_pairs(first.graph, per_pair, positions=first.positions, origin=first.origin)
    n, counts = len(pairs), [len(group) for _, group in pairs.by_length()]
    # Differences from the first group, so that equal scores have an exact mean and no spread.
    difference = sum(count * (part.scores - first.scores) for count, part in zip(counts, parts, strict=True))
    mean = first.scores + difference / n
    squares = sum(
        count * (count - 1) * part.standard_errors**2 + count * (part.scores - mean) ** 2
        for count, part in zip(counts, parts, strict=True)
    )
    return replace(first, scores=mean, standard_errors=np.sqrt(squares / max(1, n - 1) / n), per_pair=None)


def options_of(method: Method, given: Mapping[str, Any]) -> NoOptions:
    """Options by name, checked against those that the method declares; None leaves one to the method.

    Raises:
        UnknownNameError: no method has such an option, or the option takes a few words and this is not one of them.
        InputError: the method lacks the option, or the option takes values of another kind.
    """
    own = method.declared
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        if name not in own and name not in (known := all_options()):
            raise UnknownNameError("option", name, ["budget", *known])
        if value is None:
            continue
        if name not in own:
            raise InputError(f"{method.name} takes no option {name!r} (options that it takes: "
                             f"{', '.join(own) or 'none'})")  # fmt: skip
        chosen[name] = own[name].checked(value)
    return method.options(**chosen)


def options_from_text(method: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Options as `score` takes them, from texts of the command line."""
    own = shelf[method].declared
    return {name: own[name].from_text(text) if name in own else text for name, text in given.items()}


def all_options() -> dict[str, dict[str, Option]]:
    """Every option of every method on the shelf: by its name, the option of each method that has it, by method."""
    found: dict[str, dict[str, Option]] = {}
    for method in shelf:
        for name, option in method.declared.items():
            found.setdefault(name, {})[method.name] = option
    return found


def _task(model: HookedModel, pairs: PromptPairs, metric: str | MetricFunction, **more: Any) -> PatchingTask:
    with torch.no_grad():
        bound = bind_metric(metric, model, pairs, budget=more["budget"])
    task = PatchingTask(model=model, pairs=pairs, metric=bound, **more)
    _ = task.places
    return task
