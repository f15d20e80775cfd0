"""Where the held-out loss of each training run changes its slope, found by `change_points`."""

from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.changepoints import SHORTEST, change_points
from interp_emerge.emergence.forming.tables import LOSS_CHANGES
from interp_emerge.stats.intervals import UNDEFINED
from interp_emerge.stats.resampling import RESAMPLES


class LossVerdict(StrEnum):
    """Whether the slope of a training run's loss changes."""

    CHANGES = "changes"
    """It changes between the steps in this row."""
    NO_CHANGE = "no change seen"
    """One line describes all checkpoints."""
    UNDEFINED = UNDEFINED
    """There are too few checkpoints. In the table the reason follows the word."""


@checked
def loss_changes(losses: pd.DataFrame, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Change-points of the held-out loss of each training run.

    A checkpoint has one loss, so the uncertainty is estimated from the distances of the losses from the fitted lines.
    It covers the place of a cut if the curve consists of straight lines. It does not cover other training runs or other
    text. A loss that bends smoothly is cut too, since several lines fit it better than one. Error rates are in
    docs/calibration.md.

    Example:
        >>> losses = pd.DataFrame({"size": "25k", "seed": 0, "step": [0, 1, 3, 10, 30, 100, 300, 1000],
        ...                        "loss": [4.0, 4, 4, 4, 3.1, 2.2, 1.2, 0.3]})
        >>> ie.emergence.forming.loss_changes(losses, resamples=100)

    Args:
        losses: columns `size`, `seed`, `step`, `loss`. Rows that are repeated exactly count once, and losses that are
            not finite are left out.
        seed: seed of the resamples.
        resamples: number of bootstrap samples.

    Returns:
        One row for each change of a run, or one row for a run without a change. Columns `size`, `seed`, `n_steps`
        (number of checkpoints with a loss), `n_changes`, `p_value` (from `ChangePoints.numbers`, for one change fewer;
        for no change if there is none), `before`, `after`, `ci_low`, `ci_high` (steps), `slope_before`, `slope_after`
        (nats per ln(1 + step)), `jump` (nats), as in `ChangePoints`, and `verdict` (a `LossVerdict`; if undefined,
        with the reason).

    Raises:
        InputError: a column is missing, or a checkpoint has several losses.
    """
    missing = [column for column in ("size", "seed", "step", "loss") if column not in losses.columns]
    if missing:
        raise InputError(f"the table of losses lacks column {missing[0]!r}; give one row for each size, seed and step")
    rows = losses[["size", "seed", "step", "loss"]].drop_duplicates()
    twice = rows[rows.duplicated(["size", "seed", "step"])]
    if len(twice):
        model = "{size}/step{step}/seed{seed}".format(**twice.iloc[0])
        raise InputError(f"{model} has several losses; keep one measurement")
    made = []
    for (size, run), measured in rows.groupby(["size", "seed"], sort=False):
        known = measured[np.isfinite(measured["loss"])].sort_values("step")
        about: dict[str, object] = {"size": size, "seed": run, "n_steps": len(known)}
        if len(known) < 2 * SHORTEST:
            made.append(
                {**about, "verdict": f"{LossVerdict.UNDEFINED}: {len(known)} checkpoints, {2 * SHORTEST} are needed"}
            )
            continue
        found = change_points(known["step"].tolist(), known["loss"].to_numpy(), seed=seed, resamples=resamples)
        n = len(found.changes)
        about |= {"n_changes": n, "p_value": found.numbers["p_value"][max(0, n - 1)]}
        made += [{**about, **change, "verdict": LossVerdict.CHANGES} for change in found.changes.to_dict("records")]
        made += [{**about, "verdict": LossVerdict.NO_CHANGE}] * (n == 0)
    return pd.DataFrame(made, columns=pd.Index([*LOSS_CHANGES.columns]))
