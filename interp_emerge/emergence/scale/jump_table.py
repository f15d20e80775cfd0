"""Tables of an ability over scale: every metric at every point, and whether the model or the metric makes a jump."""

import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.axes import load_axis
from interp_emerge.emergence.scale.ladder import Ladder
from interp_emerge.emergence.scale.mirage import mirage_check
from interp_emerge.emergence.scale.sharpness import sharpness_table
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.families.base import Family


@checked
def jump_table(
    measured: pd.DataFrame, ability: Ability, *, axis: str = "parameters", family: Family | None = None
) -> pd.DataFrame:
    """The verdict on an ability's jump, with one row for the thresholded metric and one for the continuous metric.

    The columns are those of `Mirage.to_frame`, and `linearity` and `breakthroughness`. If the models cannot be put in
    order on the axis, the table has one row, with the verdict undecided and the reason.

    Example:
        >>> ie.emergence.scale.jump_table(measured, ability)[["metric", "verdict"]]

    Args:
        measured: every metric of every prompt at the last step of each run, columns `size`, `step`, `seed`,
            `n_parameters`, `loss`, `ability`, `metric`, `pair`, `value`.
        ability: the ability.
        axis: axis of scale, one of `emergence.scale.axes`.
        family: gives the tokens of a training step; needed for tokens and FLOPs.

    Raises:
        UnknownNameError: there is no such axis.
    """
    axis = load_axis(axis).name
    try:
        ladder = Ladder.from_frame(measured, ability, axis=axis, family=family)
    except InputError as error:  # two sizes with the same number of parameters, or of tokens, have no order
        row = {"ability": ability.name, "axis": axis, "verdict": MirageVerdict.UNDECIDED, "reason": str(error)}
        return pd.DataFrame([row])
    indices = sharpness_table(ladder)[["metric", "linearity", "breakthroughness"]]
    found = mirage_check(ladder)
    rows = found.to_frame().assign(reason=found.reason)
    return rows.merge(indices, on="metric", how="left", validate="one_to_one")


@checked
def ladder_table(
    measured: pd.DataFrame, ability: Ability, *, axis: str = "parameters", family: Family | None = None
) -> pd.DataFrame:
    """Every metric of an ability at every point of the axis: the columns of `Ladder.to_frame`, and `axis`.

    If the models cannot be put in order on the axis, the table is empty, and `jump_table` gives the reason. Arguments
    and errors are those of `jump_table`.

    Example:
        >>> ie.emergence.scale.ladder_table(measured, ability)
    """
    axis = load_axis(axis).name
    try:
        ladder = Ladder.from_frame(measured, ability, axis=axis, family=family)
    except InputError:
        return pd.DataFrame()
    return ladder.to_frame().assign(axis=axis)
