"""What a probe is: what it answers, its source, and the functions that fit or apply it.

Three kinds of probe answer three questions. A `Decoder` asks what is *known*: whether a variable can be decoded from a
site. A `Lens` asks what is *read*: what the model's own unembedding makes of a site. An `Intervention` asks what is
*used*: what happens to the ability if a site's value of the variable is exchanged or erased.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.source import Source
from interp_emerge.probing.engines.problems import Fit, Problem
from interp_emerge.probing.engines.swaps import Change, Swap

PORTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the pairs at which the online code is fitted anew: five fits, each on twice as many pairs."""


@dataclass(frozen=True, kw_only=True)
class Probe(Record):
    """A probe on the shelf."""

    name: str
    summary: str
    source: Source
    asks: ClassVar[Literal["known", "read", "used"]]


@dataclass(frozen=True, kw_only=True)
class Decoder(Probe):
    """A probe that is fitted to labels; all its scores are linear in the activations."""

    fit: Callable[[Problem], Fit]
    strengths: tuple[float, ...]
    """Regularisation to choose from, weakest first. The choice is made on an inner fold."""
    probabilities: bool = True
    """Whether a softmax of its scores gives probabilities, so that it has a description length."""
    real: bool = False
    """Whether it can decode real values."""
    features: Literal["axes", "units"] = "axes"
    """Whether it is fitted in the principal axes of the activations, or in their own units, scaled to equal spread."""
    portions: tuple[float, ...] = PORTIONS
    """Shares of the pairs at which the online code fits a new probe."""
    asks: ClassVar[Literal["known"]] = "known"


LensReading = Callable[[Tensor, str, int], Tensor]
"""From values at one kind of site and layer, shape [prompt, d_model], to logits of all tokens, [prompt, d_vocab]."""


@dataclass(frozen=True, kw_only=True)
class Lens(Probe):
    """A probe that reads a site of the stream's width through the unembedding."""

    prepare: Callable[[HookedModel, Sequence[Tensor]], LensReading]
    """From a model and the prompts it may learn from, groups of [prompt, pos], to the lens. A linear lens gets the
    final streams instead, [prompt, d_model]."""
    linear: bool = False
    """Whether it reads what a part adds to the final logits, so that it needs the final stream's scale."""
    learns: bool = False
    """Whether it is trained on prompts."""
    asks: ClassVar[Literal["read"]] = "read"


@dataclass(frozen=True, kw_only=True)
class Intervention(Probe):
    """A probe that changes a site's activations and looks at the ability's metric."""

    runs: Literal["clean", "corrupt"]
    """Which run is changed. In the corrupted run the clean value should raise the metric; in the clean run the loss of
    the value should lower it."""
    change: Callable[[Swap], Change]
    asks: ClassVar[Literal["used"]] = "used"
