"""The tables over scale. The report reads them without importing torch."""

from interp_emerge.tables.schema import ABILITY_COLUMN, RUN_COLUMNS, SCALE_COLUMNS, Table

LADDER = Table(
    name="ladder",
    row="one metric of one ability at one point of scale, over the last steps of all its seeds",
    about=SCALE_COLUMNS,
    filled={
        "metric": "as in table ability",
        "kind": "thresholded or continuous",
        "point": "size, or sizes and seeds, that make the point",
        "place": "where the point lies on the axis, in the axis's unit",
        "value": "mean over prompts and seeds",
        "ci_low": "lower end of the 95% interval, bootstrap over prompts and seeds; one seed: prompts alone",
        "ci_high": "upper end",
        "chance": "the metric of a guess",
        "ceiling": "highest value there can be; of accuracy that of a perfect model",
        "n_seeds": "number of training runs",
        "n_pairs": "number of prompt pairs",
    },
)

JUMP = Table(
    name="jump",
    row="the shape of one metric of one ability over sizes",
    about=SCALE_COLUMNS,
    filled={
        "verdict": "smooth, sharp under thresholding only, sharp under the continuous metric only, sharp under "
        "both, or undecided at this resolution",
        "metric": "accuracy, which is thresholded, or log_prob, which is continuous",
        "kind": "thresholded or continuous",
        "shape": "sharp, spread, flat or undecided",
        "reason": "why the verdict is undecided",
        "rise": "most that a later point lies above an earlier one, in the metric's unit",
        "rise_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
        "rise_high": "upper end",
        "signal": "rise over the noise between points, standard errors",
        "share": "share of the rise in the steepest gap",
        "share_low": "lower end of its 95% interval",
        "share_high": "upper end",
        "width": "the gap's part of the axis",
        "concentration": "share of the rise in the steepest gap beyond the gap's part of the axis; 1: a jump",
        "concentration_low": "lower end of its 95% interval",
        "concentration_high": "upper end",
        "before": "point before the steepest gap",
        "after": "point after it",
        "linearity": "rise over the root mean square of differences between neighbours (BIG-bench)",
        "breakthroughness": "rise over the root median square of these differences, with a floor of noise",
    },
)

TRENDS = Table(
    name="trends",
    row="one form fitted to one metric of one ability over sizes",
    about=SCALE_COLUMNS,
    filled={
        "metric": "accuracy or log_prob",
        "form": "constant, power_law, sigmoid or broken_power_law, of the place; over loss, of exp(-loss)",
        "n_points": "points that the forms are fitted to",
        "n_parameters": "parameters of the form",
        "chi_square": "sum of squared residuals in squared standard errors",
        "p_value": "chance of residuals as large if the form holds",
        "aicc": "Akaike's criterion, corrected for few points",
        "weight": "share of exp(-AICc / 2) among the forms; empty for a form with too few points",
        "verdict": "the form with a weight of 0.9 or more, cannot be told, or undefined",
        "reason": "why nothing can be told, or what the verdict leaves open",
    },
)

CORRELATIONS = Table(
    name="correlations",
    row="how one metric of one ability goes with scale",
    about=SCALE_COLUMNS,
    filled={
        "metric": "metric of the ladder, from log_prob down to accuracy",
        "kind": "thresholded or continuous",
        "correlation": "Spearman's correlation of the mean with scale, point by point; empty if undefined",
        "ci_low": "lower end of its 95% interval, bootstrap over prompts and seeds",
        "ci_high": "upper end",
        "per_prompt": "mean over prompts of each one's own correlation with scale, model by model",
        "per_prompt_low": "lower end of its 95% interval, bootstrap over prompts",
        "per_prompt_high": "upper end",
        "n_prompts": "prompts with a correlation of their own",
        "n_points": "points of the axis",
        "reason": "why there is none",
    },
)

SEEDS = Table(
    name="seeds",
    row="one ability at one size, over the seeds of training",
    about={
        "size": RUN_COLUMNS["size"],
        "n_parameters": "non-embedding parameters",
        **ABILITY_COLUMN,
    },
    filled={
        "n_seeds": "training runs of this size",
        "n_success": "runs whose accuracy is above the threshold at their last step",
        "p": "share of runs that succeed",
        "ci_low": "lower end of the exact 95% interval of p (Clopper and Pearson)",
        "ci_high": "upper end",
        "values": "accuracy of each run",
        "p_alike": "p-value of the test that all runs have one accuracy; empty for one run",
        "shape": "how the runs are spread: one seed, alike, spread around one mode, two groups, or undefined",
        "low": "accuracy of the lower of two groups; empty where there are none",
        "high": "accuracy of the higher one",
        "share_high": "share of runs in the higher one",
    },
)
