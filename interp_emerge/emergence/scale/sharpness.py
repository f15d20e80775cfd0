"""How sharply a score rises with scale, as single numbers: linearity and breakthroughness.

For scores y of models in ascending order of scale, with Δ the differences between neighbours (Srivastava et al., 2022,
BIG-bench, https://arxiv.org/abs/2206.04615):

* improvement I = sign(argmax y − argmin y) · (max y − min y), in the unit of the score;
* linearity L = I / √mean(Δ²): n − 1 for n evenly spaced points on a line, √(n − 1) for a step;
* breakthroughness B = I / √median(Δ²): n − 1 for a line; for a step it has no bound if there are four or more points.

For a step the median of Δ² is 0. So √median(Δ²) has a lower bound, the *floor*: the smallest difference that the
measurement can resolve. `sharpness_table` uses the standard error of a difference between neighbours. The B of a step
is then its height in these standard errors. L and B ignore how far apart neighbours are on the axis, so they depend on
the grid. The check in `emergence.scale.mirage` takes these distances into account.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder
from interp_emerge.stats.intervals import percentile_interval
from interp_emerge.stats.resampling import RESAMPLES

FEWEST_POINTS = 3


@dataclass(frozen=True, kw_only=True)
class Sharpness(Record):
    """Improvement in the unit of the score, linearity and breakthroughness; NaN where they are undefined."""

    improvement: float
    linearity: float
    breakthroughness: float


@checked
def sharpness(scores: np.ndarray, *, floor: float = 0.0) -> Sharpness:
    """The sharpness of scores in ascending order of scale, shape [point].

    All three are NaN for fewer than 3 points. Linearity and breakthroughness are NaN where all scores are equal.

    Example:
        >>> ie.emergence.scale.sharpness(np.array([0.0, 0.0, 0.1, 1.0])).breakthroughness

    Args:
        scores: one score for each point.
        floor: lower bound of √median(Δ²), in the unit of the score. With 0, a step with a median of 0 has an infinite
            breakthroughness.

    Raises:
        InputError: the scores have another shape or are not finite, or the floor is below 0.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise InputError(f"sharpness takes finite scores of shape [point]; these have shape {scores.shape}, and "
                         f"{int((~np.isfinite(scores)).sum())} of them are not finite")  # fmt: skip
    if not floor >= 0:
        raise InputError(f"a floor of {floor:g} is below 0; give the smallest difference that can be resolved")
    improvement, linearity, breakthroughness = (float(found[0]) for found in _sharpness(scores[None], floor))
    return Sharpness(improvement=improvement, linearity=linearity, breakthroughness=breakthroughness)


@checked
def sharpness_table(ladder: Ladder, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The sharpness of every metric of a ladder, with 95% intervals over prompts and seeds.

    Example:
        >>> ie.emergence.scale.sharpness_table(ladder, resamples=100)

    Returns:
        Columns `metric`, `kind`, `improvement` (in the metric's unit), `linearity` and `breakthroughness`, each of
        these three with `_low` and `_high`, `floor` (in the metric's unit), and `n_points`.
    """
    means, drawn = ladder.means(), ladder.resample(seed=seed, resamples=resamples)
    rows = []
    for column, metric in enumerate(ladder.metrics):
        least = 1 / ladder.n_pairs if RUNGS[metric].kind == "thresholded" else 0.0
        floor = resolution(drawn[:, :, column], least=least)
        measured, samples = (_sharpness(y, floor) for y in (means[None, :, column], drawn[:, :, column]))
        row: dict[str, object] = {"metric": metric, "kind": RUNGS[metric].kind}
        for name, value, resampled in zip(
            ("improvement", "linearity", "breakthroughness"), measured, samples, strict=True
        ):
            defined = resampled[~np.isnan(resampled)]
            interval = percentile_interval(float(value[0]), defined if len(defined) else np.array([np.nan]))
            row |= interval.columns(name)
        rows.append({**row, "floor": floor, "n_points": len(means)})
    return pd.DataFrame(rows)


def resolution(drawn: np.ndarray, *, least: float = 0.0) -> float:
    """Square root of the median squared standard error of the differences between neighbours.

    Args:
        drawn: means of bootstrap samples, shape [resample, point].
        least: lower bound of the result. Give 1/N for a fraction of N prompts, since its standard error is 0 where all
            prompts agree.
    """
    if drawn.shape[1] < 2:
        return least
    return max(float(np.sqrt(np.median(np.diff(drawn, axis=1).var(0)))), least)


def _sharpness(scores: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Improvement, linearity and breakthroughness of each row of scores, shape [row]."""
    if scores.shape[1] < FEWEST_POINTS:
        undefined = np.full(len(scores), np.nan)
        return undefined, undefined, undefined
    squares = np.diff(scores, axis=1) ** 2
    improvement = np.sign(scores.argmax(1) - scores.argmin(1)) * (scores.max(1) - scores.min(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        linearity = improvement / np.sqrt(squares.mean(1))
        breakthroughness = improvement / np.maximum(np.sqrt(np.median(squares, axis=1)), floor)
    flat = improvement == 0
    return improvement, np.where(flat, np.nan, linearity), np.where(flat, np.nan, breakthroughness)
