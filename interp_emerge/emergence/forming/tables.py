"""The tables over training, and the verdicts on dependence. The report reads them without importing torch."""

from enum import StrEnum

from interp_emerge.stats.intervals import UNDEFINED
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, RUN_COLUMNS, Table

FORMATION = Table(
    name="formation",
    row="one quantity at one checkpoint",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity": "accuracy, log_prob, faithfulness (of the last step's circuit), effect (of a head or MLP "
        "of it, exact, in the metric's unit), edge effect (of an edge of it, by the study's method, in that "
        "unit), or a role's name",
        "component": "head for a role, node or edge for an effect, circuit for faithfulness, model otherwise",
        "value": "mean over prompt pairs, in the unit of the quantity; empty if undefined",
        **INTERVAL_COLUMNS,
    },
)

ONSETS = Table(
    name="onsets",
    row="where one quantity first appears over sizes (all seeds), or over the steps of a size's first seed",
    about=ABILITY_COLUMN,
    filled={
        "quantity": "accuracy, faithfulness, effect, edge effect or a role's name, as in table formation",
        "component": "what carries it: model, circuit, a head, an MLP, or an edge",
        "axis": "size or step",
        "at": "the size, if the axis is step; empty otherwise",
        "threshold": "value above which the quantity counts as present: half-way from chance, the untrained "
        "baseline or zero to the ceiling or the last value; below half-way where the last value is negative",
        "last_without": "last point of the axis without it; empty if there from the start",
        "first_with": "first point of the axis with it; empty if never reached",
        "ci_low": "lower end of the 95% interval of first_with, from one-sided tests at each point",
        "ci_high": "upper end of the 95% interval of first_with, likewise; never if no point has it for sure",
        "verdict": "emergent or gradual over sizes, learned over steps; from the start, not reached, "
        "lost again, undecided, or undefined",
    },
)

ORDER = Table(
    name="order",
    row="two quantities in the training of one model",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity_a": "accuracy of the model, or a role of a head",
        "component_a": "model, or the name of the head",
        "quantity_b": "the other quantity",
        "component_b": "model, or the name of the head",
        "before": "share of bootstrap samples in which a comes before b",
        "after": "share in which b comes before a",
        "tie": "share in which both come between the same two checkpoints",
        "answer": "what can be told",
    },
)

LAGS = Table(
    name="lags",
    row="one part of a circuit in the training of one model, against the ability",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity": "faithfulness, effect, edge effect or a role's name, as in table formation",
        "component": "what carries it: circuit, a head, an MLP, or an edge",
        "steps_low": "lowest lag behind the ability that the checkpoints allow at 95%, training steps; below zero: "
        "a lead; infinite where there is no bound",
        "steps_high": "highest one",
        "log_low": "the same in ln(1 + step)",
        "log_high": "the same in ln(1 + step)",
        "crossing": "lag of the interpolated half-way points, training steps; empty unless both have one",
        "crossing_low": "lower end of its 95% interval, bootstrap over prompts",
        "crossing_high": "upper end",
        "log_crossing": "the same in ln(1 + step)",
        "log_crossing_low": "lower end of its 95% interval",
        "log_crossing_high": "upper end",
        "verdict": "leads, lags, unresolved (as where both fall between two checkpoints), or undefined",
        "answer": "the verdict in words",
    },
)

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


class DependenceCriterion(StrEnum):
    """When an ability counts as depending on a part."""

    ABOVE_RANDOM = "above random"
    """The drop exceeds zero and the 95th percentile of the drops of random choices."""
    HALF_OF_LAST = "half of last"
    """The drop exceeds half of that at the last checkpoint."""


class DependenceVerdict(StrEnum):
    """Whether an ability comes to depend on a part during training."""

    DEPENDS = "depends"
    """It depends from a later checkpoint than the first."""
    FROM_THE_START = "from the start"
    """It depends from the first checkpoint."""
    NOT_REACHED = "not reached"
    """It depends at no checkpoint."""
    LOST_AGAIN = "lost again"
    """It depends at some checkpoint, but not at the last."""
    UNDECIDED = "undecided"
    """It depends on these pairs, but not in 97.5% of their resamples."""
    TOO_FEW = "too few random choices"
    """It depends, but there are too few random choices for p = 0.05."""
    UNDEFINED = UNDEFINED
    """The last checkpoint has no gap, or there is nothing to compare with."""


DEPENDENCE_COLUMNS = {
    "kind": "model (every edge), edges (the circuit's), circuit (its heads together), role, head, or mlp",
    "component": "name of the part",
    "nodes": "ablated nodes, space between; empty where edges are ablated",
    "n_edges": "number of ablated edges",
    "metric": "what is measured; accuracy as a fraction of pairs",
    "whole": "mean over pairs of the whole model, in the metric's unit",
    "value": "mean over pairs with the part ablated, with `value_low` and `value_high`",
    "value_low": "lower end of the 95% interval, bootstrap over pairs",
    "value_high": "upper end",
    "drop": "whole less value, with `drop_low` and `drop_high`; empty if undefined",
    "drop_low": "lower end of the 95% interval",
    "drop_high": "upper end",
    "share": "drop as a fraction of the gap, with `share_low` and `share_high`; empty if undefined",
    "share_low": "lower end of the 95% interval",
    "share_high": "upper end",
    "null": "what random choices are made of: heads outside the circuit, other heads, any heads, or connected circuits",
    "n_random": "number of different random choices",
    "random_median": "median drop of the random choices",
    "random_p95": "their 95th percentile, rounded up to one of them: what a drop has to exceed",
    "p_value": "share of random choices with a drop at least as large, the part itself counted; empty if undefined",
    "note": "why something is undefined",
}
"""Columns of `dependence_at`. A table over checkpoints begins with `step`."""

DEPENDENCE = Table(
    name="dependence",
    row="one part of a circuit ablated at one checkpoint",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        name: DEPENDENCE_COLUMNS[name]
        for name in (
            "kind",
            "component",
            "metric",
            "whole",
            "value",
            "drop",
            "drop_low",
            "drop_high",
            "null",
            "n_random",
            "random_p95",
            "p_value",
            "note",
        )
    },
)

DEPENDENCE_ONSETS = Table(
    name="dependence_onsets",
    row="when the ability comes to depend on one part of a circuit",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "kind": DEPENDENCE_COLUMNS["kind"],
        "component": DEPENDENCE_COLUMNS["component"],
        "metric": DEPENDENCE_COLUMNS["metric"],
        "criterion": "above random, or half of last",
        "n_random": "random choices that the last checkpoint was compared with: with n of them p is at least "
        "1 / (1 + n)",
        "last_without": "last checkpoint before the onset; empty if there is no onset or it is the first checkpoint",
        "first_with": "the onset: first checkpoint from which on the criterion holds; empty if there is none",
        "ci_low": "lower end of its 95% interval, bootstrap over pairs; empty if not reached",
        "ci_high": "upper end; empty if not reached",
        "verdict": "depends, from the start, not reached, lost again, undecided, undefined, or too few random "
        "choices (fewer than 19, with which p = 0.05 cannot be reached; the model's own row has no null)",
    },
)
