"""What a patching method is given and what it returns.

Sign: positive means that moving the node or edge from the corrupted run toward the clean one raises the metric.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from interp_emerge.abilities.metrics import BoundMetric
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import Recording, record
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.source import Source
from interp_emerge.patching.engines.options import AtPositions, Chosen, NoOptions, Option, declared
from interp_emerge.patching.scores import EdgeScores, NodeScores

Recorder = Callable[[HookedModel, Tensor], Recording]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The positions at which nodes or edges are scored one by one."""

    names: tuple[str, ...]
    index: Tensor
    """The index of each position in every pair, shape [place, pair]."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The time and memory that a method would need."""

    passes: int | float
    """Forward passes over all pairs. A backward pass counts as one, and a part of the model as its share."""
    bytes: int
    """Most memory that the method holds at one time, without the weights."""
    seconds_per_pass: int | float = 1
    """Measured time of one of its passes, in forward passes: small pieces use a processor less well than full runs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchingTask(Generic[Chosen]):
    """What a method works on: one model, one set of pairs, one metric, and the method's options.

    `record` gets the activations of a run. By default it runs the model; in a study it reads the cache on disk.
    """

    model: HookedModel
    pairs: PromptPairs
    metric: BoundMetric
    options: Chosen
    budget: int | None = None
    record: Recorder = record

    @property
    def graph(self) -> Graph:
        return self.model.graph

    @cached_property
    def clean(self) -> Recording:
        return self.record(self.model, self.pairs.clean)

    @cached_property
    def corrupt(self) -> Recording:
        return self.record(self.model, self.pairs.corrupt)

    @cached_property
    def places(self) -> Places | None:
        """The positions that are scored one by one; None where all positions are patched together."""
        wanted, pairs = self.options.positions if isinstance(self.options, AtPositions) else None, self.pairs
        if wanted is None:
            return None
        if wanted == "all":
            index = torch.arange(pairs.length)[:, None].expand(-1, len(pairs))
            return Places(names=tuple(str(position) for position in range(pairs.length)), index=index)
        places = dict(self._place(name) for name in wanted)
        return Places(names=tuple(places), index=torch.stack([*places.values()]))

    def _place(self, name: str) -> tuple[str, Tensor]:
        """The name of a position and its index in every pair. A number is counted from the start in the name."""
        pairs = self.pairs
        if name in pairs.positions:
            return name, pairs.positions[name]
        if name.removeprefix("-").isdecimal():
            position = require_within(int(name), pairs.length) % pairs.length
            return str(position), torch.full((len(pairs),), position)
        raise UnknownNameError("position", name, ["all", *pairs.positions, f"0 to {pairs.length - 1}"])

    def bar(self, items: Sequence[T], what: str) -> Iterable[T]:
        """The items, with a progress bar once they have taken two seconds."""
        return tqdm(items, desc=what, delay=2, leave=False)

    def origin(self, method: str) -> dict[str, Any]:
        """The origin that a result records: see `scores_origin`."""
        return scores_origin(self.model, self.pairs, method=method, metric=self.metric.name, options=self.options)


def scores_origin(
    model: HookedModel, pairs: PromptPairs, *, method: str, metric: str, options: NoOptions
) -> dict[str, Any]:
    """The origin that scores record: model, pairs, method, metric and options; the same for scores from a file."""
    given = {name: value for name, value in asdict(options).items() if value is not None}
    return {
        **given,
        **({"ability": pairs.ability} if pairs.ability else {}),
        **origin_of_pairs(model, pairs),
        "method": method,
        "metric": metric,
        "corruption": "resample",
    }


def origin_of_pairs(model: HookedModel, pairs: PromptPairs) -> dict[str, Any]:
    """What scores record of the model and the pairs together."""
    return {"model": _model_record(model, pairs), "n_pairs": len(pairs), "prompts": pairs.fingerprint}


def _model_record(model: HookedModel, pairs: PromptPairs) -> dict[str, Any]:
    """The model's specification; it names a prepended token only if these prompts begin with it."""
    first = torch.tensor(model.bos, dtype=torch.int64)
    begins = all(
        group.length >= len(first) and bool((group.clean[:, : len(first)] == first).all())
        for _, group in pairs.by_length()
    )
    return model.spec.to_dict() | ({} if begins else {"prepended": ""})


@dataclass(frozen=True, kw_only=True)
class Method(Record):
    """A patching method: what it scores, its source, and the functions that run it and estimate its cost."""

    name: str
    summary: str
    source: Source
    scores: Literal["nodes", "edges"]
    run: Callable[[PatchingTask[Any]], NodeScores | EdgeScores]
    cost: Callable[[PatchingTask[Any]], Cost]
    options: type[NoOptions] = NoOptions
    """The dataclass that declares its options; every other option is refused."""

    @property
    def declared(self) -> Mapping[str, Option]:
        """Its options, by name."""
        return declared(self.options)

    def pick(self, **given: Any) -> dict[str, Any]:
        """The given options that this method has; the others are dropped. For callers that pass on any method."""
        return {name: value for name, value in given.items() if name in self.declared}


def require_within(position: int, length: int) -> int:
    """The position, or an `InputError` if it is beyond prompts of this length."""
    if not -length <= position < length:
        raise InputError(f"position {position} is beyond the prompts' {length} tokens; give 0 to {length - 1}, or -1 "
                         f"to {-length} counted from the end")  # fmt: skip
    return position


def require_finite(values: Tensor, what: str) -> None:
    """Raise an `InputError` if scores are not finite."""
    if not torch.isfinite(values).all():
        raise InputError(f"{what} are not finite; check the model's dtype and the metric")
