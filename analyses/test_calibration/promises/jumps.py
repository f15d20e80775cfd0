"""Jumps: how often the verdict on the model and the metric is wrong, on curves whose truth is known.

The accuracy of a prompt is drawn with a probability that depends on the log-probability of its answer.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from interp_emerge.emergence.scale import AXES, Ladder, MirageVerdict, mirage_check
from promises.base import Promise, Rate

LOW, HIGH, CHANCE = -4.6, -0.05, 0.01
FEW = 300
"""Bootstrap samples of a check."""


def itself(log_prob: np.ndarray) -> np.ndarray:
    return np.exp(log_prob)


def all_of(length: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda log_prob: np.exp(length * log_prob)


def best_of_two(log_prob: np.ndarray) -> np.ndarray:
    """Close to a step at a probability of 0.3, where the competitor is."""
    return 1 / (1 + np.exp(-8 * (log_prob - np.log(0.3))))


def power_law(exponent: float, first: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log-probability that falls to zero as a power of scale over four decades, from minus `first`."""
    return lambda x: -first * 10 ** (-4 * exponent * x)


def hockey_stick(knee: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: LOW + (HIGH - LOW) * np.clip((x - knee) / (1 - knee), 0, 1)


def sigmoid(steepness: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: 1 / (1 + np.exp(-steepness * (x - 0.5)))


@dataclass(frozen=True, kw_only=True)
class Case:
    """Log-probability over the axis from 0 to 1, probability of success given it, and what may be said."""

    name: str
    curve: Callable[[np.ndarray], np.ndarray]
    right: Callable[[np.ndarray], np.ndarray] = itself
    noise: float = 0.3
    """Standard deviation of the log-probability over prompts."""
    wrong: tuple[MirageVerdict, ...]
    wanted: MirageVerdict | None = None
    """The verdict that should come in four of five cases with 7 points or more."""

    def ladder(self, n_points: int, n_prompts: int, rng: np.random.Generator) -> Ladder:
        expected = self.curve(np.linspace(0, 1, n_points))[:, None]
        log_prob = np.minimum(expected + rng.normal(0, self.noise, (n_points, n_prompts)), 0)
        right = rng.random(log_prob.shape) < self.right(log_prob)
        return of_values([[np.stack(run, 1)] for run in zip(right.astype(float), log_prob, strict=True)])


NO_JUMP, METRIC, MODEL, UNDECIDED = (
    MirageVerdict.NO_JUMP, MirageVerdict.METRIC, MirageVerdict.MODEL, MirageVerdict.UNDECIDED,
)  # fmt: skip
POWER_LAWS = ((0.3, 2, 5), (0.3, 4, 5), (0.5, 4, 5), (0.5, 8, 5), (0.5, 2, 20), (0.5, 4, 20), (0.75, 8, 20))
"""Exponents, minus the first log-probability, and numbers of tokens for which exact match is rare over half of the axis
and more than one in four at its end."""


def line(x: np.ndarray) -> np.ndarray:
    return LOW + (HIGH - LOW) * x


def dip_before(knee: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: hockey_stick(knee)(x) - 1.5 * np.exp(-(((x - knee / 2) / 0.15) ** 2))


CASES = (
    *(
        Case(
            name=f"power law, exponent {exponent}, p from {np.exp(-first):.2g}, {length} tokens",
            curve=power_law(exponent, first),
            right=all_of(length),
            noise=0.1,
            wrong=(MODEL, NO_JUMP),
            wanted=METRIC,
        )
        for exponent, first, length in POWER_LAWS
    ),
    Case(name="log-probability linear, accuracy is p", curve=line, wrong=(MODEL, NO_JUMP), wanted=METRIC),
    Case(name="log-probability linear, best of two", curve=line, right=best_of_two, wrong=(MODEL, NO_JUMP),
         wanted=METRIC),
    Case(name="jump in the middle", curve=lambda x: np.where(x < 0.45, LOW, -0.1), wrong=(METRIC, NO_JUMP),
         wanted=MODEL),
    Case(name="jump late", curve=lambda x: np.where(x < 0.7, LOW, -0.1), wrong=(METRIC, NO_JUMP), wanted=MODEL),
    Case(name="jump on a slope", curve=lambda x: np.where(x < 0.55, LOW + x, -1 + 0.9 * x), wrong=(METRIC, NO_JUMP),
         wanted=MODEL),
    Case(name="jump of a quarter of the prompts", curve=lambda x: np.log(np.where(x < 0.55, 0.02, 0.25)),
         wrong=(METRIC, NO_JUMP)),
    Case(name="steep sigmoid of log-probability", curve=lambda x: line(sigmoid(20)(x)), wrong=(METRIC, NO_JUMP)),
    Case(name="hockey stick from 0.5 on", curve=hockey_stick(0.5), wrong=(METRIC, NO_JUMP)),
    Case(name="hockey stick from 0.5 on, 5 tokens", curve=hockey_stick(0.5), right=all_of(5), wrong=(METRIC, NO_JUMP)),
    Case(name="dip, then a rise from 0.5 on", curve=dip_before(0.5), wrong=(METRIC, NO_JUMP)),
    Case(name="jump that is lost again", curve=lambda x: np.where((x > 0.4) & (x < 0.75), -0.1, LOW),
         wrong=(METRIC, MODEL, NO_JUMP)),
    Case(name="p linear", curve=lambda x: np.log(0.02 + 0.95 * x), wrong=(METRIC, MODEL), wanted=NO_JUMP),
    Case(name="p a gentle sigmoid", curve=lambda x: np.log(sigmoid(4)(x)), wrong=(METRIC, MODEL)),
    Case(name="p saturates", curve=lambda x: LOW * np.exp(-3 * x), wrong=(MODEL,)),
    Case(name="there from the start, still rising", curve=lambda x: -0.3 + 0.2 * x, wrong=(METRIC, MODEL)),
    Case(name="never leaves chance", curve=lambda x: np.full(len(x), np.log(CHANCE)), wrong=(METRIC, MODEL, NO_JUMP)),
)  # fmt: skip


def of_values(values: list[list[np.ndarray]]) -> Ladder:
    """A ladder over four decades of parameters; `values` has shape [prompt, metric] for each point and run."""
    n = len(values)
    return Ladder(
        ability="simulated",
        axis=AXES["parameters"],
        points=tuple(f"{at}" for at in range(n)),
        places=10 ** np.linspace(4, 8, n),
        metrics=("accuracy", "log_prob"),
        values=tuple(tuple(runs) for runs in values),
        chance=CHANCE,
    )


def confusion(n: int) -> Iterator[Rate]:
    for n_points, n_prompts in ((5, 128), (7, 128), (10, 128), (7, 32)):
        for case in CASES:
            rng = np.random.default_rng(n_points + n_prompts)
            found = Counter(
                mirage_check(case.ladder(n_points, n_prompts, rng), resamples=FEW).verdict for _ in range(n)
            )
            yield Rate(
                case=f"{n_points} points, {n_prompts} prompts: {case.name}",
                happened=sum(found[verdict] for verdict in case.wrong),
                simulations=n,
                at_most=0.05,
                seen=found,
            )


def power(n: int) -> Iterator[Rate]:
    for n_points in (7, 10):
        for case in CASES:
            if case.wanted is None:
                continue
            rng = np.random.default_rng(n_points)
            found = Counter(mirage_check(case.ladder(n_points, 128, rng), resamples=FEW).verdict for _ in range(n))
            name = f"{n_points} points: {case.name} ({case.wanted})"
            yield Rate(case=name, happened=found[case.wanted], simulations=n, at_least=0.8)


def seeds_that_disagree(n: int) -> Iterator[Rate]:
    """Runs that have the ability or not, with a share that rises evenly over the sizes: nothing jumps."""
    share = np.linspace(0, 1, 8)
    for n_runs in (2, 3, 5):
        rng, found = np.random.default_rng(n_runs), Counter[MirageVerdict]()
        for _ in range(n):
            values = []
            for chance in share:
                has = rng.random(n_runs) < chance
                log_prob = [np.minimum(np.where(one, -0.1, -3.5) + rng.normal(0, 0.3, 64), 0) for one in has]
                values.append([np.stack([(rng.random(64) < np.exp(one)).astype(float), one], 1) for one in log_prob])
            found[mirage_check(of_values(values), resamples=FEW).verdict] += 1
        yield Rate(
            case=f"{n_runs} runs, the share that has it rises evenly",
            happened=found[MODEL] + found[METRIC],
            simulations=n,
            at_most=0.05,
            seen=found,
        )


PROMISES = (
    Promise(
        says="The verdict on a jump, if there is one, is not wrong.",
        module="emergence.scale.mirage",
        counted="verdicts that contradict the curve",
        simulate=confusion,
    ),
    Promise(
        says="The verdict on a jump comes: exact match of a power law is called the metric's, a step the model's.",
        module="emergence.scale.mirage",
        counted="verdicts in brackets",
        simulate=power,
    ),
    Promise(
        says="Training runs that have the ability or not, at random, do not make a jump.",
        module="emergence.scale.mirage",
        counted="verdicts of a jump",
        simulate=seeds_that_disagree,
    ),
)
