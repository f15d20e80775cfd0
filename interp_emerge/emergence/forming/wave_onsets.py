"""When each progress measure of modular addition (`forming.waves`) passes half-way to its last value."""

from enum import StrEnum
from typing import Literal

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.stats.intervals import UNDEFINED

RISING = ("excluded_loss", "excluded_random", "key_share", "sum_share", "gini_logits", "gini_embedding")
LEAST_CHANGE = 2.0
"""A measure has an onset only if it falls or rises by at least this factor."""


class ProgressVerdict(StrEnum):
    """What a progress measure of a training run does."""

    FALLS = "falls"
    """It falls by at least a factor of `LEAST_CHANGE` to its last value."""
    RISES = "rises"
    """It rises by at least a factor of `LEAST_CHANGE` to its last value."""
    NOT_REACHED = "not reached"
    """It changes by less than a factor of `LEAST_CHANGE`."""
    UNDEFINED = UNDEFINED
    """A value is not finite, or it falls to zero, so that half-way on the logarithmic scale does not exist."""


@checked
def progress_onsets(measured: pd.DataFrame, *, scale: Literal["log", "linear"] = "log") -> pd.DataFrame:
    """The checkpoints between which each measure of a training run passes half-way to its last value, earliest first.

    A measure in `RISING` starts from its lowest value, and half-way is the mean of the start and the last value. Any
    other measure starts from its first value, and half-way is the geometric mean of the start and the last value, or on
    a linear scale their mean. The first checkpoint beyond half-way is the onset, even in a brief jump of the loss.

    All pairs are measured, so there is no sampling error: an onset is uncertain only because checkpoints are discrete
    and training runs differ. If the intervals of two measures overlap, their order is unknown. The order may depend on
    the scale: a loss that falls early from 4 to 1 and late from 1 to 0.001 is half-way early on the linear scale, and
    late on the logarithmic one.

    Example:
        >>> measured = ie.emergence.forming.measure_progress(family, modulus=7, sizes=["3k"], frequencies=[1])
        >>> ie.emergence.forming.progress_onsets(measured)

    Args:
        measured: a table of `measure_progress`.
        scale: scale on which half-way is computed for measures that fall.

    Returns:
        One row for each run and measure: columns `size`, `seed`, `measure`, `start`, `end`, `half_way` (in the
        measure's unit), `last_without`, `first_with` (training steps; NaN if none), and `verdict` (`ProgressVerdict`).
    """
    rows = []
    for (size, seed, measure), run in measured.groupby(["size", "seed", "measure"], sort=False):
        ordered = run.sort_values("step")
        steps, values = ordered["step"].to_numpy(), ordered["value"].to_numpy()
        rows.append({"size": size, "seed": seed, "measure": measure, **_onset(steps, values, measure in RISING, scale)})
    return pd.DataFrame(rows).sort_values(["size", "seed", "first_with"], kind="stable", ignore_index=True)


def _onset(steps: np.ndarray, values: np.ndarray, rises: bool, scale: str) -> dict[str, object]:
    nowhere = {"last_without": np.nan, "first_with": np.nan}
    if not np.isfinite(values).all():
        return {"start": np.nan, "end": np.nan, "half_way": np.nan, **nowhere, "verdict": ProgressVerdict.UNDEFINED}
    sign = 1.0 if rises else -1.0
    begin = int(values.argmin()) if rises else 0
    start, end = float(values[begin]), float(values[-1])
    half = (start + end) / 2
    if scale == "log" and not rises:
        half = (start * end) ** 0.5 if end > 0 else np.nan
    levels = {"start": start, "end": end, "half_way": half}
    if start == end or ((end < LEAST_CHANGE * start) if rises else (start < LEAST_CHANGE * end)):
        return {
            **levels,
            "last_without": float(steps[-1]),
            "first_with": np.nan,
            "verdict": ProgressVerdict.NOT_REACHED,
        }
    if np.isnan(half):
        return {**levels, **nowhere, "verdict": ProgressVerdict.UNDEFINED}
    first = begin + int((sign * values[begin:] > sign * half).argmax())
    between = {"last_without": float(steps[first - 1]), "first_with": float(steps[first])}
    return {**levels, **between, "verdict": ProgressVerdict.RISES if rises else ProgressVerdict.FALLS}
