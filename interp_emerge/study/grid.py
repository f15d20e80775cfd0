"""Which models a study looks at: sizes, steps and seeds of a family, as far as they were asked for."""

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
    """The models of a family that a study's settings ask for.

    Raises:
        UnknownNameError: a size, step or seed that the family does not have.
        InputError: none of the steps that were asked for is there in one of the runs, or the axis of scale does not
            tell the sizes apart.
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
        """The size's seeds that were asked for; the first one where it has none of them."""
        there = self.family.seeds(size)
        return [seed for seed in there if not self.settings.seeds or seed in self.settings.seeds] or there[:1]

    def steps(self, size: str, seed: int) -> list[int]:
        """The run's steps that were asked for and that it has."""
        there, asked = self.family.steps(size, seed), self.settings.steps
        if asked == "last":
            return there[-1:]
        if asked == "spaced":
            return self.family.spaced_steps(size, seed)
        return [step for step in there if step in asked]

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
        """The last model of a run."""
        return Checkpoint(size, self.steps(size, seed)[-1], seed)

    def _require_tokens(self, axis: str) -> None:
        """Raise unless the family counts tokens and, if they are the axis, its sizes differ in them."""
        if not self.family.counts_tokens:
            raise InputError(f"axis {axis!r}: {self.family.name} does not say how many tokens a step has; take "
                             "parameters or loss")  # fmt: skip
        if unknown := [at for at in self.models if self.family.tokens(*at) is None]:
            at = unknown[0]
            raise InputError(f"axis {axis!r}: {self.family.name} does not say how many tokens {at.size}/step{at.step}/"
                             f"seed{at.seed} was trained on; leave it out, or take parameters or loss")  # fmt: skip
        seen = {size: self.family.tokens(*self.last_of(size, seed)) for size, seed in self.runs}
        if axis == "tokens" and len(seen) > len({*seen.values()}):
            raise InputError(f"axis 'tokens' does not tell the sizes of {self.family.name} apart, since some end after "
                             "as many tokens; take parameters, flops or loss")  # fmt: skip

    def _require_steps(self, asked: tuple[int, ...]) -> None:
        """Raise unless every step is one of some run's, and every run has one of them."""
        there = {run: self.family.steps(*run) for run in self.runs}
        known = sorted({step for steps in there.values() for step in steps})
        for step in asked:
            if step not in known:
                raise UnknownNameError(f"step of {self.family.name}", step, known)
        for (size, seed), steps in there.items():
            if not {*steps} & {*asked}:
                raise InputError(f"{self.family.name}/{size}, seed {seed}, has none of the steps {_listed(asked)}; it "
                                 f"has {_listed(steps)}")  # fmt: skip


def _listed(steps: tuple[int, ...] | list[int]) -> str:
    return ", ".join(str(step) for step in steps[:12]) + (", …" if len(steps) > 12 else "")
