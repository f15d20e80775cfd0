"""Names and columns of the tables over scale. The report reads them without importing torch."""

from enum import StrEnum

from interp_emerge.tables.schema import ABILITY_COLUMN, RUN_COLUMNS, SCALE_COLUMNS, Table

LADDER = Table(
    name="ladder",
    row="one metric of one ability at one point of scale, over the last steps of all its seeds",
    about=SCALE_COLUMNS,
    filled={
        "metric": "as in table ability",
        "kind": "thresholded or continuous",
        "point": "label of the point: the size, with the step and seed where points need them to differ",
        "place": "where the point lies on the axis, in the axis's unit",
        "value": "mean over prompts and seeds",
        "ci_low": "lower end of the 95% interval over prompts and seeds; with one seed, over prompts alone",
        "ci_high": "upper end",
        "chance": "value of the metric for a guess",
        "ceiling": "highest possible value of the metric; for accuracy, that of a perfect model",
        "n_seeds": "number of training runs",
        "n_pairs": "number of prompt pairs",
    },
)


class MirageVerdict(StrEnum):
    """Whether an ability jumps, and whether the model or the metric is the reason."""

    NO_JUMP = "no jump at this resolution"
    """The rise of the thresholded metric is spread, small, or flat above chance."""
    METRIC = "the metric's"
    """The thresholded metric jumps, and the continuous one shares less than half of the jump."""
    MODEL = "the model's"
    """The thresholded metric jumps, and the continuous one shares more than half of the jump."""
    UNDECIDED = "undecided"
    """The data do not decide; the reason says why."""


JUMP = Table(
    name="jump",
    row="the shape of one metric of one ability over sizes",
    about=SCALE_COLUMNS,
    filled={
        "verdict": ", ".join(MirageVerdict),
        "metric": "accuracy, which is thresholded, or log_prob, which is continuous",
        "kind": "thresholded or continuous",
        "shape": "sharp, steep, late, spread, small, flat or undecided; docs/emergence.md defines them",
        "reason": "why the verdict is undecided",
        "rise": "largest increase from an earlier point to a later one, in the metric's unit",
        "rise_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
        "rise_high": "upper end",
        "signal": "rise in standard errors of the difference between the points where it begins and ends",
        "share": "share of the rise in the steepest gap",
        "share_low": "lower end of its 95% interval",
        "share_high": "upper end",
        "width": "fraction of the axis that the steepest gap covers",
        "concentration": "(share - width) / (1 - width) of the steepest gap: 0 for a rise in proportion to the axis, "
        "1 for a rise in this gap alone",
        "concentration_low": "lower end of its 95% interval",
        "concentration_high": "upper end",
        "near_chance": "fraction of the axis, from the first point on, over which the metric is certainly near chance",
        "window_begins": "point at which the jump of the thresholded metric begins; empty without a jump",
        "window_ends": "point at which it ends",
        "shared": "fraction of the jump that the continuous metric shares: its concentration in the window over that "
        "of the thresholded metric",
        "shared_low": "lower end of its 95% interval",
        "shared_high": "upper end",
        "earlier": "share of the continuous metric's rise that comes before the window",
        "earlier_low": "lower end of its 95% interval",
        "earlier_high": "upper end",
        "before": "point before the steepest gap",
        "after": "point after it",
        "linearity": "highest minus lowest value, negative if the highest comes first, divided by the root mean square "
        "of the differences between neighbours (BIG-bench)",
        "breakthroughness": "the same, divided by the root of the median square of these differences, which is set to "
        "the noise where it is smaller",
    },
)

TRENDS = Table(
    name="trends",
    row="one form fitted to one metric of one ability over sizes",
    about=SCALE_COLUMNS,
    filled={
        "metric": "accuracy or log_prob",
        "form": "constant, power_law, sigmoid or broken_power_law, as a function of the place; on the axis of loss, of "
        "exp(-loss)",
        "n_points": "number of points that the forms are fitted to",
        "n_parameters": "number of parameters of the form",
        "chi_square": "sum of squared residuals, each divided by its squared standard error",
        "p_value": "probability of residuals at least this large if the form holds",
        "aic": "Akaike's information criterion; corrected for small numbers of points (AICc) if errors are unknown",
        "weight": "exp(-AIC / 2), divided by its sum over the forms; empty for a form with too few points",
        "verdict": "the form that describes the scores certainly better than the others, cannot be told, or undefined",
        "reason": "why no form is the verdict, or reservations about the verdict",
    },
)

CORRELATIONS = Table(
    name="correlations",
    row="correlation of one metric of one ability with scale",
    about=SCALE_COLUMNS,
    filled={
        "metric": "metric of the ladder, from log_prob down to accuracy",
        "kind": "thresholded or continuous",
        "correlation": "Spearman's correlation of the mean with scale, point by point; empty if undefined",
        "ci_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
        "ci_high": "upper end",
        "per_prompt": "mean over prompts of the correlation of a single prompt's values with scale, model by model",
        "per_prompt_low": "lower end of its 95% interval over prompts",
        "per_prompt_high": "upper end",
        "n_prompts": "number of prompts whose correlation is defined",
        "n_points": "number of points on the axis",
        "reason": "why there is no correlation",
    },
)

SEEDS = Table(
    name="seeds",
    row="one ability at one size, over all training seeds",
    key=("ability", "size"),
    about={
        "size": RUN_COLUMNS["size"],
        "n_parameters": "non-embedding parameters",
        **ABILITY_COLUMN,
    },
    filled={
        "n_seeds": "number of training runs of this size",
        "n_success": "number of runs whose accuracy is above the threshold at their last step",
        "p": "share of runs that succeed",
        "ci_low": "lower end of the exact 95% interval of p (Clopper and Pearson)",
        "ci_high": "upper end",
        "values": "accuracy of each run",
        "p_alike": "p-value of the test that all runs have the same accuracy; empty for one run",
        "shape": "how the runs are spread: one seed, alike, two groups, undefined, or spread, two groups not shown",
        "low": "accuracy of the lower of two groups; empty unless there are two groups",
        "high": "accuracy of the higher group",
        "share_high": "share of runs in the higher group",
    },
)
