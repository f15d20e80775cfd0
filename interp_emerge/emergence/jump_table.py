"""Whether each ability's jump over sizes is the model's or the metric's, as rows of one table."""

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.ladder import Ladder
from interp_emerge.emergence.mirage import UNDECIDED, mirage_check
from interp_emerge.emergence.sharpness import sharpness_table


def jump_table(measured: pd.DataFrame, ability: Ability) -> pd.DataFrame:
    """The verdict on an ability, a row for the thresholded metric and one for the continuous one.

    Where sizes cannot be put in order there is one row, undecided, with the reason.

    Args:
        measured: every metric of every prompt at the last step of each run, columns `size`, `step`, `seed`,
            `n_parameters`, `loss`, `ability`, `metric`, `pair`, `value`.
        ability: the ability.
    """
    try:
        ladder = Ladder.from_frame(measured, ability)
    except InputError as error:  # two sizes of as many parameters have no order
        row = {"ability": ability.name, "axis": "parameters", "verdict": UNDECIDED, "reason": str(error)}
        return pd.DataFrame([row])
    indices = sharpness_table(ladder)[["metric", "linearity", "breakthroughness"]]
    return mirage_check(ladder).to_frame().merge(indices, on="metric", how="left", validate="one_to_one")
