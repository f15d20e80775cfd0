"""The rules by which a checkpoint is compared with the others of its run, from plain numbers.

`excess_loss` (held-out loss out of line). With n checkpoints, the excess of an inner one is how far its loss lies
outside the range of its two neighbours, and the run's noise is the median distance of a loss from the mean of its
neighbours, scaled to a standard deviation. The excess over the noise fails from `LOSS_LIMIT` on; the worst checkpoint
is then set aside, and the others are compared again. If losses are a curve that falls plus independent normal noise, at
most 0.5% of runs of 9 or more checkpoints get a false alarm anywhere (measured with 40,000 runs: 0.1% or less); with
heavy tails (Student's t with 3 degrees of freedom) 1.4% of runs of 12 and 3% of runs of 20 do. With fewer than `LEAST`
checkpoints one outlier would dominate the noise, and no verdict is given. Ends have one neighbour and are not tested.

`farther_than_neighbours` (foreign weights). For a matrix of a run, the smaller of the distances to both neighbours,
over the distance between the neighbours. A path that goes on in one direction gives at most 1/2 halfway, a random walk
at most 0.71; in the bundled family the largest of 1,420 is 0.74. Weights from elsewhere are far from both neighbours.
From `FARTHER_LIMIT` on the matrix fails: it is farther from each neighbour than these are from each other.

`descent` (a foreign step 0). If step 0 is an independent random draw, the cosine between a matrix of it and any other
matrix of n values has mean 0 and standard deviation 1/√n. The sum of these, each over its standard deviation, and over
the root of their number, is then standard normal; below `DESCENT_LIMIT` step 0 counts as unrelated. An unrelated one
passes with a chance of 3 in 100,000. Where training has erased its start, a true step 0 can fail; the bundled family
gives 70 to 300 at the first later checkpoint, and 12 to 97 at the last.
"""

from collections.abc import Mapping, Sequence

import numpy as np

LOSS_LIMIT = 8.0
LEAST = 9
"""Least number of checkpoints of a run for a verdict on losses."""
FARTHER_LIMIT = 1.0
DESCENT_LIMIT = 4.0
MAD = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""
Samples = Mapping[str, np.ndarray]


def excess_loss(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """How far each loss is out of line with both neighbours, over the run's noise, shape [checkpoint].

    NaN at both ends, where a loss is undefined, and everywhere if there are fewer than `LEAST` checkpoints.
    """
    given = np.asarray(losses, dtype=float)
    result = np.full(len(given), np.nan)
    if not np.isfinite(given).all():
        return result
    left = np.arange(len(given))
    while len(left) >= LEAST:
        excess = _excess(given[left])
        result[left[1:-1]] = excess
        worst = int(excess.argmax())
        if excess[worst] <= LOSS_LIMIT:
            break
        left = np.delete(left, worst + 1)  # beside an outlier, a sound loss looks out of line too
    return result


def _excess(losses: np.ndarray) -> np.ndarray:
    before, here, after = losses[:-2], losses[1:-1], losses[2:]
    outside = np.maximum(here - np.maximum(before, after), np.minimum(before, after) - here)
    noise = MAD * np.median(np.abs(here - (before + after) / 2)) / 1.5**0.5
    return np.maximum(outside, 0) / max(noise, np.spacing(np.abs(losses).max()))


def farther_than_neighbours(before: Samples, here: Samples, after: Samples) -> dict[str, float]:
    """By matrix, its smaller distance to a neighbour over the distance between the neighbours; 0 if nothing moved."""
    ratios = {}
    for name in here.keys() & before.keys() & after.keys():
        nearer = min(np.linalg.norm(here[name] - before[name]), np.linalg.norm(here[name] - after[name]))
        across = float(np.linalg.norm(after[name] - before[name]))
        ratios[name] = float(nearer) / across if across else float(np.inf if nearer else 0)
    return ratios


def descent(start: Samples, later: Samples) -> float:
    """How much more similar two models are than unrelated ones, in standard deviations; NaN without a matrix."""
    scores = []
    for name in start.keys() & later.keys():
        one, other = start[name] - start[name].mean(), later[name] - later[name].mean()
        lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
        if lengths:
            scores.append(len(one) ** 0.5 * float(one @ other) / lengths)
    return sum(scores) / len(scores) ** 0.5 if scores else float("nan")
