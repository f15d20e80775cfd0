"""A promise, and the rate at which simulations keep or break it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from interp_emerge.stats import Interval, success_interval


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened in simulations of one case, and the bound that the promise sets."""

    case: str
    happened: int
    simulations: int
    at_most: float = 1.0
    at_least: float = 0.0
    seen: Mapping[Any, int] = field(default_factory=dict)
    """How often each verdict came, if there are several."""

    @property
    def interval(self) -> Interval:
        return success_interval(self.happened, self.simulations)

    @property
    def verdicts(self) -> str:
        """Shares of the verdicts, the most frequent first."""
        ordered = sorted(self.seen.items(), key=lambda one: -one[1])
        return ", ".join(f"{verdict} {count / self.simulations:.2f}" for verdict, count in ordered)

    @property
    def kept(self) -> bool:
        """Whether the bound lies within the 95% interval of the rate, or on its right side."""
        return self.interval.low <= self.at_most and self.interval.high >= self.at_least

    @property
    def bound(self) -> str:
        return f"at most {self.at_most:g}" if self.at_most < 1 else f"at least {self.at_least:g}"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A sentence that the package says, the module that says it, and its simulation with a number of draws."""

    says: str
    module: str
    counted: str
    """What is counted in the simulations."""
    simulate: Callable[[int], Iterator[Rate]]
