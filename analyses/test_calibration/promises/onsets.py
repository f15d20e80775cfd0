"""The onset of an ability: how often its verdict claims what is not so."""

from collections.abc import Iterator

import numpy as np

from interp_emerge.emergence.scale import Criterion, Onset, OnsetVerdict, find_onset
from promises.base import Promise, Rate

TWO_CHOICES = Criterion(0.5, 1.0)
FALSE_OF_A_STEP = {OnsetVerdict.GRADUAL, OnsetVerdict.FROM_THE_START, OnsetVerdict.NOT_REACHED, OnsetVerdict.LOST_AGAIN,
                   OnsetVerdict.COMES_AND_GOES}  # fmt: skip
FALSE_OF_A_RAMP = {OnsetVerdict.EMERGENT, *FALSE_OF_A_STEP} - {OnsetVerdict.GRADUAL}
FALSE_OF_A_LOSS = {OnsetVerdict.EMERGENT, OnsetVerdict.GRADUAL, OnsetVerdict.FROM_THE_START, OnsetVerdict.NOT_REACHED}
CURVES = {
    "step from chance at the last of 5": ([0.5, 0.5, 0.5, 0.5, 0.97], FALSE_OF_A_STEP),
    "step from chance at the third of 5": ([0.5, 0.5, 0.97, 0.97, 0.97], FALSE_OF_A_STEP),
    "ramp that begins above near-chance": ([0.65, 0.7, 0.8, 0.9, 0.97], FALSE_OF_A_RAMP),
    "present, lost, present again": ([0.97, 0.5, 0.5, 0.5, 0.97], FALSE_OF_A_LOSS),
    "absent, present, lost, present again": ([0.5, 0.97, 0.5, 0.5, 0.97], FALSE_OF_A_LOSS),
}


def claims(n: int) -> Iterator[Rate]:
    for n_prompts in (32, 128):
        for name, (rates, false) in CURVES.items():
            rng, happened = np.random.default_rng(n_prompts), 0
            for _ in range(n):
                values = {at: [rng.binomial(1, rate, n_prompts).astype(float)] for at, rate in enumerate(rates)}
                happened += find_onset(values, TWO_CHOICES).verdict in false
            yield Rate(case=f"{n_prompts} prompts, {name}", happened=happened, simulations=n, at_most=0.05)


def share_of_runs(n: int) -> Iterator[Rate]:
    """Runs that have the ability or not, with a share that rises over 8 sizes."""
    shares = {
        "the share rises evenly": np.linspace(0, 1, 8),
        "the share is 0.4 everywhere": np.full(8, 0.4),
        "none, 0.4, then all": np.array([0, 0, 0, 0.4, 1, 1, 1, 1]),
    }
    for name, share in shares.items():
        true = int((share > 0.5).argmax()) if share.max() > 0.5 else len(share)
        for n_runs in (2, 3, 5, 8):
            rng, held = np.random.default_rng(n_runs), 0
            for _ in range(n):
                rates = np.where(rng.random((len(share), n_runs)) < share[:, None], 0.95, 0.05)
                values = {at: [rng.binomial(1, one, 64).astype(float) for one in runs] for at, runs in enumerate(rates)}
                held += contains(find_onset(values, Criterion(0.0, 1.0)), true, len(share))
            yield Rate(case=f"{n_runs} runs, {name}", happened=held, simulations=n, at_least=0.93)


def long_tails(n: int) -> Iterator[Rate]:
    """Values bounded above with a log-normal lower tail, as log-probabilities have."""
    expected = np.linspace(-4, -0.5, 8)
    for spread in (0.5, 1.0, 1.5):
        for n_prompts in (16, 32, 64):
            rng, held = np.random.default_rng(n_prompts), 0
            for _ in range(n):
                tails = rng.lognormal(0, spread, (8, n_prompts)) - np.exp(spread**2 / 2)
                values = {at: [mean - tail] for at, (mean, tail) in enumerate(zip(expected, tails, strict=True))}
                held += contains(find_onset(values, Criterion(-4.0, 0.0)), int((expected > -2).argmax()), 8)
            case = f"{n_prompts} prompts, lower tail with a log-normal spread of {spread}"
            yield Rate(case=case, happened=held, simulations=n, at_least=0.93)


def contains(onset: Onset[int], true: int, never: int) -> bool:
    low, high = (never if end is None else end for end in (onset.ci_low, onset.ci_high))
    return low <= true <= high


PROMISES = (
    Promise(
        says="The verdict on an onset claims nothing that is not so.",
        module="emergence.scale.onset",
        counted="verdicts that contradict the expected curve",
        simulate=claims,
    ),
    Promise(
        says="The interval of an onset contains the true onset over training runs that have the ability or not.",
        module="emergence.scale.onset",
        counted="intervals that contain the true onset",
        simulate=share_of_runs,
    ),
    Promise(
        says="The interval of an onset contains the true onset of values with a long tail.",
        module="emergence.scale.onset",
        counted="intervals that contain the true onset",
        simulate=long_tails,
    ),
)
