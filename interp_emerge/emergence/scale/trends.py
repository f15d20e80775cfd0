"""Which form the scores of an ability follow over scale, and how well it fits.

1. `fit_trends` fits the forms of `stats.forms` to one curve. `trend_table` fits them to the mean of a metric at each
   point of the axis, weighted by the standard error of that mean. The standard error is the standard deviation over
   bootstrap samples of prompts and seeds; for the thresholded metric it is at least 1/N for N prompts. The forms are
   functions of the place on the axis. Over loss they are functions of exp(−loss), so a "power law" is there an
   exponential of the loss.
2. A form is the verdict if its AIC is the lowest, and lower by at least 4.4 than that of every form that does not
   contain it; then the weights of the two are 0.9 and 0.1 or further apart (Burnham and Anderson, 2002,
   https://doi.org/10.1007/b97636). A form that contains the best one as a special case fits any curve at least as well,
   so it only has to have no lower AIC. The verdict says which of four forms is best; `p_value` says whether it fits.
   With too few points for one of the four only "constant" can be the verdict, since a form that was not fitted may fit
   better. Measured rates of right and wrong verdicts: docs/calibration.md.
3. `correlation_table` returns the correlation of every metric with scale, as Schaeffer et al. do (2024,
   https://arxiv.org/abs/2406.04391). It uses `ladder.scale_correlation`.

All points have the same prompts, so their errors are correlated, and differences between points are more precise than
the errors suggest. This makes p-values too large rather than too small. At a point with one seed the error leaves out
the spread over seeds, which makes p-values too small. Cost: about 0.3 s for an ability with 7 points.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import Ability
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.record import Record
from interp_emerge.emergence.scale.axes import load_axis
from interp_emerge.emergence.scale.ladder import RUNGS, Ladder, scale_correlation
from interp_emerge.families.base import Family
from interp_emerge.stats.forms import FittedForm, fit_forms
from interp_emerge.stats.intervals import UNDEFINED
from interp_emerge.stats.significance import SIGNIFICANT

METRICS = ("accuracy", "log_prob")
DECISIVE = 2 * float(np.log(9))
"""How much lower the AIC of a form must be than that of another: 4.4, the weights of the two are 0.9 and 0.1."""
CONTAINED_BY = {
    "constant": ("power_law", "sigmoid", "broken_power_law"),
    "power_law": ("broken_power_law",),
    "sigmoid": (),
    "broken_power_law": (),
}
"""The forms that contain a form as a special case. They fit at least as well as it does, whatever the curve."""
EXACT = 1e-9
"""Smallest standard error of a continuous metric, in its unit; used where all prompts have the same value."""
FEWEST_POINTS = 4
"""With fewer points than this, almost any scores give a correlation near 1 or -1."""


class TrendVerdict(StrEnum):
    """The form that scores follow over scale, one of the forms of `stats.forms`, or why there is none."""

    CONSTANT = "constant"
    POWER_LAW = "power_law"
    SIGMOID = "sigmoid"
    BROKEN_POWER_LAW = "broken_power_law"
    CANNOT_BE_TOLD = "cannot be told"
    """No form has an AIC that is lower than that of the others by `DECISIVE`."""
    UNDEFINED = UNDEFINED
    """There are too few points to compare forms, or the models cannot be put in order on the axis."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trends(Record):
    """Every form fitted to one curve."""

    fits: tuple[FittedForm, ...]
    n_points: int

    @property
    def verdict(self) -> TrendVerdict:
        """The form that the curve follows, if the points show it."""
        return self._judged[0]

    @property
    def reason(self) -> str:
        """Why there is no form, or reservations about it; empty if there are none."""
        return self._judged[1]

    @property
    def best(self) -> str:
        """The form with the largest weight, or `undefined` where there are too few points for any."""
        defined = [fit for fit in self.fits if fit.curve]
        return max(defined, key=lambda fit: fit.weight).form if defined else UNDEFINED

    def __getitem__(self, form: str) -> FittedForm:
        for fit in self.fits:
            if fit.form == form:
                return fit
        raise UnknownNameError("form", form, [fit.form for fit in self.fits])

    @property
    def _judged(self) -> tuple[TrendVerdict, str]:
        ranked = sorted((fit for fit in self.fits if fit.curve), key=lambda fit: fit.aic)
        if len(ranked) < 2:
            return TrendVerdict.UNDEFINED, f"{self.n_points} points are too few to compare forms"
        missing = [fit.form for fit in self.fits if not fit.curve]
        few = f"{self.n_points} points are too few for {' and '.join(missing)}" if missing else ""
        best, *others = ranked
        rivals = [fit for fit in others if fit.form not in CONTAINED_BY[best.form] and fit.aic - best.aic < DECISIVE]
        if rivals:
            between = f"AIC is {best.aic:.1f} for {best.form} and {rivals[0].aic:.1f} for {rivals[0].form}"
            return TrendVerdict.CANNOT_BE_TOLD, f"{between}; {few}" if few else between
        if few and best.form != TrendVerdict.CONSTANT:
            return TrendVerdict.CANNOT_BE_TOLD, f"it is not constant, but {few}, which may fit as well"
        if best.p_value < SIGNIFICANT:
            misfit = f"the best of {len(ranked)} forms, but its residuals exceed the errors, p = {best.p_value:.2g}"
            return TrendVerdict(best.form), f"{misfit}; {few}" if few else misfit
        return TrendVerdict(best.form), few

    def to_frame(self) -> pd.DataFrame:
        """One row for each form.

        Columns `form`, `n_parameters`, `chi_square`, `p_value`, `aic`, `weight`, `parameters` (text). For an undefined
        form, `parameters` says why it is undefined.
        """
        columns = ["form", "n_parameters", "chi_square", "p_value", "aic", "weight"]
        rows = [{name: getattr(fit, name) for name in columns} | {"parameters": fit.described} for fit in self.fits]
        return pd.DataFrame(rows)


@checked
def fit_trends(x: np.ndarray, y: np.ndarray, *, errors: np.ndarray | None = None) -> Trends:
    """Fits every form to y over x.

    Example:
        >>> size = np.array([1e3, 1e4, 1e5, 1e6, 1e7])
        >>> ie.emergence.scale.fit_trends(size, 0.2 * np.log10(size)).verdict

    Args:
        x: places on an axis of scale, such as parameters or FLOPs, shape [point]. They have to be above 0, and may be
            equal.
        y: scores, shape [point].
        errors: standard errors of y, shape [point]; if left out, they are assumed to be equal and unknown.

    Raises:
        InputError: shapes do not agree, a place or error is not above 0, or a value is not finite.
    """
    return Trends(fits=fit_forms(x, y, errors=errors), n_points=len(x))


@checked
def trend_table(
    measured: pd.DataFrame, ability: Ability, *, axis: str = "parameters", family: Family | None = None
) -> pd.DataFrame:
    """Every form fitted to accuracy and to log_prob over scale, with the verdict on each metric.

    If the models cannot be put in order on the axis, the table has one row, with the verdict undefined and the reason.

    Example:
        >>> ie.emergence.scale.trend_table(measured, ability)[["metric", "form", "verdict"]]

    Args:
        measured: as in `jump_table`.
        ability: the ability.
        axis: axis of scale, one of `emergence.scale.axes`.
        family: gives the tokens of a training step; needed for tokens and FLOPs.

    Returns:
        Columns `ability`, `axis`, `metric`, `form`, `n_points`, `n_parameters`, `chi_square`, `p_value`, `aic`,
        `weight`, `verdict`, `reason`; NaN for a form with too few points.

    Raises:
        UnknownNameError: there is no such axis.
    """
    about = {"ability": ability.name, "axis": load_axis(axis).name}
    try:
        ladder = Ladder.from_frame(measured, ability, axis=axis, family=family)
    except InputError as error:
        return pd.DataFrame([{**about, "verdict": TrendVerdict.UNDEFINED, "reason": str(error)}])
    means, drawn, parts = ladder.means(), ladder.resample(), []
    for metric in METRICS:
        column = ladder.column(metric)
        least = 1 / ladder.n_pairs if RUNGS[metric].kind == "thresholded" else EXACT
        errors = np.maximum(drawn[:, :, column].std(0), least)
        found = fit_trends(np.exp(ladder.coordinate), means[:, column], errors=errors)
        judged = {"n_points": len(means), "verdict": found.verdict, "reason": found.reason}
        columns = {**about, "metric": metric, **judged}
        parts.append(found.to_frame().drop(columns="parameters").assign(**columns))
    return pd.concat(parts, ignore_index=True)


@checked
def correlation_table(
    measured: pd.DataFrame, ability: Ability, *, axis: str = "parameters", family: Family | None = None
) -> pd.DataFrame:
    """The correlation of every metric of the ladder with scale.

    The columns are those of `ladder.scale_correlation`, and `ability`, `axis` and `reason`. If the models cannot be put
    in order on the axis, or there are fewer than 4 points, the table has one row, with the `reason` and no correlation.
    Arguments and errors are those of `trend_table`.

    Example:
        >>> ie.emergence.scale.correlation_table(measured, ability)
    """
    about = {"ability": ability.name, "axis": load_axis(axis).name}
    try:
        ladder = Ladder.from_frame(measured, ability, axis=axis, family=family)
    except InputError as error:
        return pd.DataFrame([{**about, "reason": str(error)}])
    if len(ladder.points) < FEWEST_POINTS:
        reason = f"{UNDEFINED}: {len(ladder.points)} points, {FEWEST_POINTS} are needed"
        return pd.DataFrame([{**about, "reason": reason}])
    return scale_correlation(ladder).assign(**about, reason="")
