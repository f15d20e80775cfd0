"""Names and columns of the tables over training, and verdicts on dependence. The report imports them without torch."""

from enum import StrEnum

from interp_emerge.stats.intervals import UNDEFINED
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, RUN_COLUMNS, Table

FORMATION = Table(
    name="formation",
    row="one quantity at one checkpoint",
    key=("size", "step", "seed", "ability", "quantity", "component"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity": "accuracy, log_prob, faithfulness (of the last step's circuit), effect (of a head or MLP in that "
        "circuit, by activation patching, in the metric's unit), edge effect (of an edge in that circuit, by the "
        "study's method, in the metric's unit), or the name of a role",
        "component": "the head for a role, the node or edge for an effect, circuit for faithfulness, model otherwise",
        "value": "mean over prompt pairs, in the unit of the quantity; empty if undefined",
        **INTERVAL_COLUMNS,
    },
)

NODES_OVER_STEPS = Table(
    name="nodes_over_steps",
    row="one quantity of one head or MLP at one checkpoint of a training run with a circuit, in the circuit or not",
    key=("size", "step", "seed", "ability", "quantity", "node"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "node": "name of the head or MLP",
        "quantity": "effect (by activation patching, in the metric's unit), or the name of a role (heads only)",
        "value": "mean over prompt pairs, in the unit of the quantity",
        **INTERVAL_COLUMNS,
    },
)

EDGES_OVER_STEPS = Table(
    name="edges_over_steps",
    row="one edge at one checkpoint; edges that belong to the circuit of any checkpoint of their training run",
    key=("size", "step", "seed", "ability", "writer", "reader"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "writer": "name of the edge's writer",
        "reader": "name of the edge's reader",
        "score": "effect of the edge at this step by the study's method, in the metric's unit; mean over prompt pairs",
        "ci_low": "lower end of the 95% interval, score - 1.96 standard errors over pairs",
        "ci_high": "upper end, score + 1.96 standard errors",
        "in_step_circuit": "whether the edge is in the circuit of this step: the strongest edges here, as many as the "
        "last step's circuit has, without those on no path (as in table turnover); empty where the clean-corrupt gap "
        "is within noise",
        "in_last_circuit": "whether the edge is in the circuit that was found at the last step (table circuit_edges)",
    },
)

ONSETS = Table(
    name="onsets",
    row="where one quantity first appears over sizes (all seeds), or over the steps of a size's first seed",
    key=("ability", "quantity", "component", "axis", "at"),
    about=ABILITY_COLUMN,
    filled={
        "quantity": "accuracy, faithfulness, effect, edge effect or the name of a role, as in table formation",
        "component": "what the quantity belongs to: model, circuit, a head, an MLP, or an edge",
        "axis": "size or step",
        "at": "the size, if the axis is step; empty otherwise",
        "threshold": "value above which the quantity counts as present: half-way from a starting level (chance, the "
        "untrained baseline, or zero) to a final level (the ceiling or the last value). Where the last value is "
        "negative, the quantity counts as present below the threshold",
        "last_without": "last point of the axis without the quantity; empty if the first point has it",
        "first_with": "first point of the axis with the quantity; empty if no point has it",
        "ci_low": "lower end of the 95% interval of first_with, from one-sided tests at each point",
        "ci_high": "upper end of this interval; empty if no point certainly has the quantity",
        "verdict": "emergent, gradual, or emergent or gradual over sizes, learned over steps; from the start, comes "
        "and goes, not reached, lost again, undecided, or undefined",
        "reason": "what noise leaves open about the verdict, and how many more prompts would decide it; empty if none",
    },
)

ORDER = Table(
    name="order",
    row="two quantities in the training of one model",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity_a": "accuracy of the model, or a role of a head",
        "component_a": "model, or the name of the head",
        "quantity_b": "the other quantity, likewise",
        "component_b": "model, or the name of the head",
        "before": "share of bootstrap samples in which a comes before b",
        "after": "share of bootstrap samples in which b comes before a",
        "tie": "share of bootstrap samples in which no checkpoint lies between the two",
        "answer": "the order as a sentence; begins with 'cannot be told' where the data do not decide",
    },
)

LAGS = Table(
    name="lags",
    row="how much later than the ability one part of a circuit forms, in the training of one model",
    key=("size", "seed", "ability", "quantity", "component"),
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "quantity": "faithfulness, effect, edge effect or the name of a role, as in table formation",
        "component": "what the quantity belongs to: circuit, a head, an MLP, or an edge",
        "steps_low": "lower bound (95%) of the lag behind the ability, training steps; negative where the part may "
        "come first; infinite where there is no bound",
        "steps_high": "upper bound",
        "log_low": "lower bound in ln(1 + step)",
        "log_high": "upper bound in ln(1 + step)",
        "crossing": "lag between the steps, interpolated between checkpoints, at which part and ability cross their "
        "thresholds, training steps; empty unless both have such a step",
        "crossing_low": "lower end of its 95% interval, bootstrap over prompts",
        "crossing_high": "upper end",
        "log_crossing": "the same lag in ln(1 + step)",
        "log_crossing_low": "lower end of its 95% interval",
        "log_crossing_high": "upper end",
        "verdict": "leads, lags, unresolved (for example where both lie between the same checkpoints), or undefined",
        "answer": "the verdict in words",
    },
)

LOSS_CHANGES = Table(
    name="loss_changes",
    row="one change in the slope of the held-out loss of a training run, or one run without a change",
    about=RUN_COLUMNS,
    filled={
        "n_steps": "number of checkpoints with a loss",
        "n_changes": "number of changes in this run",
        "p_value": "share of simulated curves with one change fewer (or with none, if there is none) whose BIC falls "
        "as much if changes are added",
        "before": "last checkpoint before the change",
        "after": "first checkpoint after the change",
        "ci_low": "lower end of the 95% interval of the change, training steps, bootstrap over residuals",
        "ci_high": "upper end",
        "slope_before": "nats per ln(1 + step) before the change",
        "slope_after": "nats per ln(1 + step) after the change",
        "jump": "fitted loss after the change minus fitted loss before it, at the change, nats",
        "verdict": "changes, no change seen, or undefined with the reason",
    },
)


class DependenceCriterion(StrEnum):
    """When an ability counts as depending on a part."""

    ABOVE_RANDOM = "above random"
    """The drop exceeds zero and the 95th percentile of the drops of random choices."""
    HALF_OF_LAST = "half of last"
    """The drop exceeds half of the drop at the last checkpoint, and the latter is certainly above zero."""


class DependenceVerdict(StrEnum):
    """Whether an ability comes to depend on a part during training."""

    DEPENDS = "depends"
    """The ability depends on the part from some checkpoint on, and this is not the first checkpoint."""
    FROM_THE_START = "from the start"
    """The ability depends on the part at all checkpoints."""
    NOT_REACHED = "not reached"
    """The ability depends on the part at no checkpoint."""
    LOST_AGAIN = "lost again"
    """The ability depends on the part at some checkpoint, but not at the last."""
    UNDECIDED = "undecided"
    """The ability depends on the part at the last checkpoint, but in fewer than 97.5% of the resamples of the pairs."""
    TOO_FEW = "too few random choices"
    """The ability depends on the part, but there are too few random choices to reach p = 0.05."""
    UNDEFINED = UNDEFINED
    """The last checkpoint has no gap above noise, or there are no random choices to compare with."""


DEPENDENCE_COLUMNS = {
    "kind": "model (every edge), edges (of the circuit), circuit (its heads together), role, head, or mlp",
    "component": "name of the part",
    "nodes": "ablated nodes, separated by spaces; empty where edges are ablated",
    "n_edges": "number of ablated edges",
    "metric": "name of the metric; accuracy is a fraction of pairs",
    "whole": "metric of the whole model, mean over pairs",
    "value": "metric with the part ablated, mean over pairs",
    "value_low": "lower end of the 95% interval over pairs",
    "value_high": "upper end",
    "drop": "whole minus value, in the metric's unit; empty if undefined",
    "drop_low": "lower end of the 95% interval",
    "drop_high": "upper end",
    "share": "drop as a fraction of the gap; empty if undefined",
    "share_low": "lower end of the 95% interval",
    "share_high": "upper end",
    "null": "what random choices consist of: heads outside the circuit, other heads, any heads, or connected circuits",
    "n_random": "number of different random choices",
    "random_median": "median of the drops of the random choices",
    "random_p95": "95th percentile of these drops, rounded up to one of them; a drop has to exceed it to count",
    "p_value": "(1 + number of random choices with a drop at least as large) / (1 + n_random); empty if undefined",
    "note": "why a value is undefined, or why there are no random choices",
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
    row="from which checkpoint on the ability depends on one part of a circuit, by one criterion",
    about={**RUN_COLUMNS, **ABILITY_COLUMN},
    filled={
        "kind": DEPENDENCE_COLUMNS["kind"],
        "component": DEPENDENCE_COLUMNS["component"],
        "metric": DEPENDENCE_COLUMNS["metric"],
        "criterion": "above random, or half of last",
        "n_random": "number of random choices that the part was compared with at the last checkpoint; with n of them "
        "p is at least 1 / (1 + n)",
        "last_without": "last checkpoint before the onset; empty if there is no onset or it is the first checkpoint",
        "first_with": "the onset: the criterion holds at this checkpoint and at all later ones; empty if there is none",
        "ci_low": "lower end of the 95% interval of the onset, bootstrap over pairs; empty if not reached",
        "ci_high": "upper end; empty if not reached",
        "verdict": "depends, from the start, not reached, lost again, undecided, undefined, or too few random "
        "choices (fewer than 19, so that p = 0.05 cannot be reached; this does not apply to the part with every edge, "
        "which is not compared with random choices)",
    },
)


class Question(StrEnum):
    """What is asked of a variable at a position, over sizes and steps."""

    KNOWN = "known"
    """A probe decodes it from the best layer."""
    EMBEDDING = "embedding"
    """A probe decodes it from the embedding alone, before any layer."""
    USED = "used"
    """An exchange of it in the best layer moves the metric beyond placebos, by half of its share at the last point."""
    ABILITY = "ability"
    """The model has the ability."""


PROBE_ONSETS = Table(
    name="probe_onsets",
    row="where one variable is known or used at one position, or the ability is there, over sizes (all seeds), or over "
    "the steps of a size's first seed",
    key=("ability", "variable", "position", "question", "axis", "at"),
    about=ABILITY_COLUMN,
    filled={
        "variable": "what is decoded or exchanged",
        "position": "position in the prompt",
        "question": "known: decoded from the best layer; embedding: decoded from the embedding alone; used: exchanged "
        "in the best layer that decodes it; ability: accuracy of the model. The best layer for each half of the "
        "prompts is that of the other half",
        "axis": ONSETS.filled["axis"],
        "at": ONSETS.filled["at"],
        "threshold": "value above which it counts: half-way from the majority class to 1 for known and embedding, "
        "half-way from chance to the ceiling for the ability, half of the last value for used",
        "last_without": ONSETS.filled["last_without"],
        "first_with": ONSETS.filled["first_with"],
        "ci_low": ONSETS.filled["ci_low"],
        "ci_high": ONSETS.filled["ci_high"],
        "verdict": "as in table onsets; or undefined, if it was not measured, if there is nothing to exchange, or if "
        "the exchange moves nothing beyond placebos at the last point",
        "reason": "what noise leaves open about the verdict, or why it is undefined; empty if nothing",
        "level": "value at the last point, mean over training runs: accuracy, or the share of the clean-corrupt gap "
        "that the exchange moves beyond placebos",
        "level_low": "lower end of its 95% interval over prompts and runs",
        "level_high": "upper end of its 95% interval over prompts and runs",
        "untrained": "the highest accuracy of any layer of an untrained model of the shape at the last point; empty "
        "unless the question is known",
        "lead_low": "lower bound of the lead of known over this row, from the 95% intervals of both: training steps; "
        "over sizes a factor of parameters. Negative, or below 1, where known may come later",
        "lead_high": "upper bound; infinite where there is none",
        "lead": "whether known leads, lags, is unresolved, or undefined; empty for known and embedding",
        "answer": "the lead in words",
    },
)

TURNS = Table(
    name="turns",
    row="a probe's direction for one variable at two checkpoints of one run, or at one and itself",
    key=("size", "seed", "ability", "variable", "method", "site", "layer", "head", "position", "step_a", "step_b"),
    filled={
        "size": "name of the size",
        "seed": "seed of the training run",
        "ability": "name of the pairs' ability; empty for pairs of one's own",
        "variable": "what the probe decodes",
        "method": "probe",
        "site": "kind of activation",
        "layer": "layer, from 0",
        "head": "head, or key-value head for keys and values; -1 for kinds without heads",
        "position": "position in the prompt",
        "step_a": "training step of the first checkpoint",
        "step_b": "training step of the second one, not before the first",
        "cosine": "cosine between the probe of one half of the prompts at the first checkpoint and that of the other "
        "half at the second, mean of both ways",
        "ci_low": "lower end of its 95% interval, bootstrap over groups of prompts",
        "ci_high": "upper end",
        "ceiling": "cosine that noise leaves of a direction that has not turned: the geometric mean of the cosines of "
        "both checkpoints with themselves; empty if one is not above zero",
        "null_low": "2.5% quantile of the cosine with shuffled labels",
        "null_high": "97.5% quantile",
        "p_value": "share of shuffled labels with a cosine at least as far from zero, counting the labels themselves",
        "accuracy_a": "held-out accuracy of the probe at the first checkpoint, or share of variance explained",
        "accuracy_b": "the same at the second",
        "majority": "accuracy of the most frequent class of the training pairs; 0 for real values",
        "n_pairs": "number of pairs",
    },
)
