"""The onset of an ability: how often its verdict claims what is not so."""

from collections.abc import Iterator

import numpy as np

from interp_emerge.emergence.scale.onset import Criterion, OnsetVerdict, find_onset
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


PROMISES = (
    Promise(
        says="The verdict on an onset claims nothing that is not so.",
        module="emergence.scale.onset",
        counted="verdicts that contradict the expected curve",
        simulate=claims,
    ),
)
