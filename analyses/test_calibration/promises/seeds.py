"""Groups of training seeds: how often a spread around one mode is called two groups, and how often groups are found."""

from collections.abc import Iterator

import numpy as np

from interp_emerge.emergence.scale import SeedSpread, find_modes
from promises.base import Promise, Rate

PROMPTS = 64


def share(verdict: SeedSpread, n: int, n_seeds: int, draw) -> int:
    asked, rng = np.full(n_seeds, PROMPTS), np.random.default_rng(n_seeds)
    return sum(find_modes(rng.binomial(asked, draw(rng, n_seeds)), asked).verdict == verdict for _ in range(n))


def false_groups(n: int) -> Iterator[Rate]:
    for n_seeds in (4, 5, 8, 16):
        for shapes in ((1, 1), (2, 2), (1, 4)):
            found = share(SeedSpread.TWO_GROUPS, n, n_seeds, lambda rng, k, shapes=shapes: rng.beta(*shapes, k))
            case = f"{n_seeds} seeds, accuracies Beta({shapes[0]}, {shapes[1]})"
            yield Rate(case=case, happened=found, simulations=n, at_most=0.05)


def found_groups(n: int) -> Iterator[Rate]:
    for n_seeds in (5, 8):
        found = share(SeedSpread.TWO_GROUPS, n, n_seeds, lambda rng, k: np.where(rng.permutation(k) < k // 2, 0.1, 0.9))
        yield Rate(case=f"{n_seeds} seeds, accuracies 0.1 and 0.9", happened=found, simulations=n, at_least=0.9)


PROMISES = (
    Promise(
        says="Seeds whose accuracies spread around one mode are called two groups in at most 5% of cases.",
        module="emergence.scale.seeds",
        counted="verdicts 'two groups'",
        simulate=false_groups,
    ),
    Promise(
        says="Two groups that are far apart are found.",
        module="emergence.scale.seeds",
        counted="verdicts 'two groups'",
        simulate=found_groups,
    ),
)
