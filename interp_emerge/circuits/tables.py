"""Tables of circuits, their heads and their ablation. Reading them needs no torch."""

from enum import StrEnum

from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, Table

ROLES = ("previous_token", "duplicate_token", "induction", "copying")
"""The roles that a study measures, all from one recording."""


class CircuitVerdict(StrEnum):
    """Whether a circuit keeps more than random circuits of its size."""

    FAITHFUL = "faithful beyond random circuits"
    """The lower end of its interval exceeds their 95th percentile."""
    NO_BETTER = "no better than random circuits"
    """It does not."""
    UNDEFINED = "undefined"
    """The clean-corrupt gap is not above zero."""
    NO_CIRCUIT = "no circuit"
    """No edges were selected."""


CIRCUITS = Table(
    name="circuits",
    row="the circuit found in one model",
    key=("size", "step", "seed", "ability", "method", "metric"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "method": "edge scoring method",
        "metric": "metric of the faithfulness",
        "n_edges": "number of edges in the circuit",
        "n_graph_edges": "number of edges in the whole graph",
        "edge_share": "n_edges as a fraction of n_graph_edges",
        "clean": "mean metric of the whole model on clean prompts",
        "corrupt": "mean metric of the whole model on corrupted prompts",
        "faithfulness": "fraction of the clean-corrupt gap that the circuit alone keeps; empty if undefined",
        **INTERVAL_COLUMNS,
        "kl": "mean divergence of the circuit's next-token distribution from the whole model's, nats",
        "accuracy": "fraction of prompts that the circuit alone answers correctly",
        "accuracy_without": "fraction of prompts that the model answers correctly with the circuit's edges ablated",
        "random_median": "median faithfulness of random circuits of the same size",
        "random_p95": "95th percentile of the faithfulness of random circuits of the same size",
        "n_random": "number of these random circuits",
        "random_kind": "how they were drawn: of two ways or more, the one with the highest random_p95",
        "stability": "expected Jaccard index of the circuits of two independent sets of as many prompts",
        "stability_low": "lower end of its 95% interval",
        "stability_high": "upper end of its 95% interval",
        "verdict": f"{', '.join(CircuitVerdict)}; the first adds a missed target, the last two a reason",
        "file": "circuit file, relative to the study's directory",
    },
)

CIRCUIT_EDGES = Table(
    name="circuit_edges",
    row="one edge of the circuit found in one model",
    key=("writer", "reader", "size", "step", "seed", "ability"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "writer": "name of the edge's writer",
        "reader": "name of the edge's reader",
        "score": "effect of the edge on the metric, positive toward the clean run",
    },
)

ABLATION = Table(
    name="ablation",
    row="accuracy with some heads ablated",
    key=("size", "step", "seed", "ability", "condition", "draw"),
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "condition": "which heads were ablated: none, circuit heads, or random heads of the same layers",
        "draw": "number of the random draw; 0 otherwise",
        "heads": "names of the ablated heads, separated by spaces",
        "accuracy": "fraction of pairs answered correctly",
        **INTERVAL_COLUMNS,
    },
)

ROLE_TABLE = Table(
    name="roles",
    row="one role score of one head",
    key=("node", "role", "size", "step", "seed"),
    about=MODEL_COLUMNS,
    filled={
        "node": "name of the head",
        "layer": "layer of the head",
        "index": "head within the layer",
        "role": f"name of the role: {', '.join(ROLES)}",
        "score": "mean score over prompts: a fraction of attention; for copying in nats",
        **INTERVAL_COLUMNS,
        "baseline": "score that the best head of an untrained model of the same size exceeds with a probability of 5%",
        "clears_baseline": "whether the interval lies above the baseline",
        "attention": "fraction of attention that the role requires beside its score; empty if it requires none",
        "writing": "rise of the logit of the attended token that the role requires, nats; empty if it requires none",
        "plays": "whether the head shows all that the role requires",
        "lacks": "what it does not show, with the numbers; empty if it plays the role",
        "in_circuit": "whether the head writes an edge of the circuit found at the last step of the same size",
    },
)
