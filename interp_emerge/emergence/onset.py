"""Where along an axis of scale a quantity first appears.

1. `present` is decided point by point: the mean over prompts and seeds against a threshold. Nothing assumes that the
   curve is monotone: it may dip below chance first, and an ability that was there may be lost again.
2. The onset is the interval between the last point without the quantity and the first with it.
3. Prompts, and seeds where there are several, are resampled; the interval of the first point with the quantity is the
   central 95% of its resamples.
4. The verdict is in words: a quantity is *emergent* (Wei et al., 2022, https://arxiv.org/abs/2206.07682) if it ends
   above the threshold and some point before the onset is near chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from interp_emerge.core.intervals import LEVEL, RESAMPLES

Point = TypeVar("Point")
NEAR_CHANCE = 0.2
"""Near chance: at most this fraction of the way from chance to the ceiling."""


@dataclass(frozen=True)
class Scale:
    """What a quantity's values mean: chance or baseline, ceiling, and the threshold between absent and present."""

    chance: float
    ceiling: float

    @property
    def threshold(self) -> float:
        """Half-way from chance to the ceiling."""
        return (self.chance + self.ceiling) / 2

    @property
    def near_chance(self) -> float:
        return self.chance + NEAR_CHANCE * (self.ceiling - self.chance)


@dataclass(frozen=True)
class Onset(Generic[Point]):
    """The last point without a quantity and the first with it; None where there is no such point."""

    last_without: Point | None
    first_with: Point | None
    ci_low: Point | None
    ci_high: Point | None
    verdict: str


def find_onset(
    values: Mapping[Point, Sequence[np.ndarray]], scale: Scale, *, seed: int = 0, resamples: int = RESAMPLES
) -> Onset[Point]:
    """The onset of a quantity along an axis.

    Args:
        values: for each point of the axis, in ascending order, the per-prompt values of each training seed.
        scale: chance, ceiling and threshold of the quantity.
        seed: of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        The onset; an end of its interval is None where the resamples do not reach the quantity.
    """
    points = list(values)
    means = np.array([np.mean([series.mean() for series in values[point]]) for point in points])
    first = _first_present(means[None, :], scale.threshold)[0]
    drawn = _resampled_means([list(values[point]) for point in points], seed, resamples)
    ends = np.quantile(
        _first_present(drawn, scale.threshold), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf"
    ).astype(int)
    low, high = (points[end] if end < len(points) else None for end in ends)
    return Onset(
        last_without=points[first - 1] if first > 0 else None,
        first_with=points[first] if first < len(points) else None,
        ci_low=low,
        ci_high=high,
        verdict=_verdict(means, drawn, int(first), scale),
    )


def _first_present(means: np.ndarray, threshold: float) -> np.ndarray:
    """Index of each row's first point above the threshold, shape [row]; the number of points if there is none."""
    present = means > threshold
    return np.where(present.any(1), present.argmax(1), means.shape[1])


def _resampled_means(series: list[list[np.ndarray]], seed: int, resamples: int) -> np.ndarray:
    """Means after drawing seeds and prompts with replacement, shape [resample, point]."""
    rng = np.random.default_rng(seed)
    columns = []
    for seeds in series:
        drawn_seeds = rng.integers(len(seeds), size=(resamples, len(seeds)))
        prompts = [values[rng.integers(len(values), size=(resamples, len(values)))].mean(1) for values in seeds]
        columns.append(np.take_along_axis(np.stack(prompts, 1), drawn_seeds, axis=1).mean(1))
    return np.stack(columns, 1)


def _verdict(means: np.ndarray, drawn: np.ndarray, first: int, scale: Scale) -> str:
    ends_with = (drawn[:, -1] > scale.threshold).mean()
    if first == len(means):
        return "not reached"
    if ends_with < (1 - LEVEL) / 2:
        return "lost again"
    if ends_with < (1 + LEVEL) / 2:
        return "undecided"
    if first == 0:
        return "from the start"
    starts_near_chance = (drawn[:, :first].min(1) <= scale.near_chance).mean()
    return "emergent" if starts_near_chance > (1 + LEVEL) / 2 else "gradual"
