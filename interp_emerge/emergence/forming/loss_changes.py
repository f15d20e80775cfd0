"""Where the held-out loss of a training run bends: `change_points` of one number a checkpoint, for every run."""

from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.changepoints import SHORTEST, change_points
from interp_emerge.stats.intervals import UNDEFINED
from interp_emerge.stats.resampling import RESAMPLES
from interp_emerge.tables.schema import RUN_COLUMNS, Table

LOSS_CHANGES = Table(
    name="loss_changes",
    row="one change in the slope of the held-out loss of a training run, or a run without",
    about=RUN_COLUMNS,
    filled={
        "n_steps": "checkpoints with a loss",
        "n_changes": "changes in this run",
        "p_value": "share of simulated curves with one change fewer that would show as much",
        "before": "last checkpoint before the change",
        "after": "first checkpoint after it",
        "ci_low": "lower end of its 95% interval, training steps, bootstrap over residuals",
        "ci_high": "upper end",
        "slope_before": "nats per ln(1 + step) before the change",
        "slope_after": "and after it",
        "jump": "step in the loss at the change, nats",
        "verdict": "changes, no change seen, or undefined with the reason",
    },
)


class LossVerdict(StrEnum):
    """Whether the slope of a training run's loss changes."""

    CHANGES = "changes"
    """It changes at the steps of the row."""
    NO_CHANGE = "no change seen"
    """One line describes all checkpoints."""
    UNDEFINED = UNDEFINED
    """There are too few checkpoints; the reason follows."""


@checked
def loss_changes(losses: pd.DataFrame, *, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Change-points of the held-out loss of each training run.

    A checkpoint has one loss. What there is of uncertainty comes from how far losses lie from the lines: it says how
    exactly a cut is placed if the lines hold, and nothing about other runs or other text. A loss that bends smoothly is
    cut too, since lines follow it better in pieces. Of straight lines with normal noise at 6 to 12 checkpoints 3 to 7%
    are cut. With 12, a jump of five times the noise is found in 66% and one of ten times in all, and the interval holds
    it in 98% of those.

    Args:
        losses: columns `size`, `seed`, `step`, `loss`; repeated rows count once, and losses that are not finite not.
        seed: of the resamples.
        resamples: number of bootstrap samples.

    Returns:
        One row a run and change, one for a run without: `size`, `seed`, `n_steps` (checkpoints with a loss),
        `n_changes`, `p_value` (share of simulated curves with one change fewer, or with none where none is seen, whose
        BIC falls as much with more), `before`, `after`, `ci_low`, `ci_high` (steps), `slope_before`, `slope_after`
        (nats per ln(1 + step)), `jump` (nats), as in `ChangePoints`, and `verdict`: changes, no change seen, or
        undefined with the reason.

    Raises:
        InputError: a column is missing, or a checkpoint has several losses.
    """
    missing = [column for column in ("size", "seed", "step", "loss") if column not in losses.columns]
    if missing:
        raise InputError(f"the table of losses lacks column {missing[0]!r}; wanted is a row a size, seed and step")
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
