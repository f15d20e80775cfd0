"""The models that a study looks at: the chosen sizes, steps and seeds of a family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.families.base import Family
from interp_emerge.study.settings import StudySettings


class Checkpoint(NamedTuple):
    """One model of a family."""

    size: str
    step: int
    seed: int

    def at_step(self, step: int) -> "Checkpoint":
        """The same training run at another step."""
        return self._replace(step=step)


@dataclass(frozen=True)
class Grid:
    """The models of a family that a study's settings choose.

    Raises:
        UnknownNameError: the family does not have a chosen size, step or seed.
        InputError: a training run has none of the chosen steps, or all sizes have the same place on the axis of scale.
    """

    family: Family
    settings: StudySettings

    def __post_init__(self) -> None:
        for size in self.settings.sizes:
            if size not in self.family.sizes:
                raise UnknownNameError(f"size of {self.family.name}", size, self.family.sizes)
        known = sorted({seed for size in self.sizes for seed in self.family.seeds(size)})
        for seed in self.settings.seeds:
            if seed not in known:
                raise UnknownNameError(f"seed of {self.family.name}", seed, known)
        if isinstance(self.settings.steps, tuple):
            self._require_steps(self.settings.steps)
        if self.settings.axis in ("tokens", "flops"):
            self._require_tokens(self.settings.axis)

    @property
    def sizes(self) -> list[str]:
        """Sizes from small to large."""
        return [size for size in self.family.sizes if not self.settings.sizes or size in self.settings.sizes]

    def seeds(self, size: str) -> list[int]:
        """The size's seeds that were chosen; its first seed if it has none of them."""
        available, chosen = self.family.seeds(size), self.settings.seeds
        return [seed for seed in available if not chosen or seed in chosen] or available[:1]

    def steps(self, size: str, seed: int) -> list[int]:
        """The chosen steps that the run has."""
        available, chosen = self.family.steps(size, seed), self.settings.steps
        if chosen == "last":
            return available[-1:]
        if chosen == "spaced":
            return self.family.spaced_steps(size, seed)
        wanted = {*chosen, *(available[-1:] if "last" in chosen else [])}
        return [step for step in available if step in wanted]

    @property
    def models(self) -> list[Checkpoint]:
        """Every model, sizes from small to large."""
        return [Checkpoint(size, step, seed) for size, seed in self.runs for step in self.steps(size, seed)]

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Size and seed of every training run."""
        return [(size, seed) for size in self.sizes for seed in self.seeds(size)]

    @property
    def last(self) -> list[Checkpoint]:
        """The last model of each size's first seed."""
        return [self.last_of(size, self.seeds(size)[0]) for size in self.sizes]

    def last_of(self, size: str, seed: int) -> Checkpoint:
        """The last model of a training run."""
        return Checkpoint(size, self.steps(size, seed)[-1], seed)

    def _require_tokens(self, axis: str) -> None:
        """Raise unless the family counts tokens and, if tokens are the axis, its sizes differ in them."""
        if not self.family.counts_tokens:
            raise InputError(f"axis {axis!r}: {self.family.name} does not say how many tokens a step has; use "
                             "parameters or loss")  # fmt: skip
        if unknown := [at for at in self.models if self.family.tokens(*at) is None]:
            at = unknown[0]
            raise InputError(f"axis {axis!r}: {self.family.name} does not say how many tokens {at.size}/step{at.step}/"
                             f"seed{at.seed} was trained on; leave it out, or use parameters or loss")  # fmt: skip
        seen = {size: self.family.tokens(*self.last_of(size, seed)) for size, seed in self.runs}
        if axis == "tokens" and len(seen) > len({*seen.values()}):
            raise InputError(f"axis 'tokens': some sizes of {self.family.name} were trained on the same number of "
                             "tokens; use parameters, flops or loss")  # fmt: skip

    def _require_steps(self, chosen: tuple[int | str, ...]) -> None:
        """Raise unless some run has each chosen step, and every run has at least one of them."""
        available = {run: self.family.steps(*run) for run in self.runs}
        known = sorted({step for steps in available.values() for step in steps})
        for step in chosen:
            if step != "last" and step not in known:
                raise UnknownNameError(f"step of {self.family.name}", step, known)
        for (size, seed), steps in available.items():
            if "last" not in chosen and not {*steps} & {*chosen}:
                raise InputError(f"{self.family.name}/{size}, seed {seed}, has none of the steps {_listed(chosen)}; it "
                                 f"has {_listed(steps)}")  # fmt: skip


def _listed(steps: Sequence[int | str]) -> str:
    return ", ".join(str(step) for step in steps[:12]) + (", …" if len(steps) > 12 else "")
