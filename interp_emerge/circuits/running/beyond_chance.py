"""Whether a circuit is better than chance: it is compared with random circuits, on prompts that it was not found on.

1. `against_random` runs the circuit, the model without it, and random circuits of the same size. All edges of a random
   circuit lie on paths from the embedding to the logits.
2. `verdict_of` says whether the circuit beats them: the lower end of its interval must exceed their 95th percentile.

Cost: 2 + `n_random` circuit runs.
"""

from enum import StrEnum

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.circuit import Circuit
from interp_emerge.stats.ranks import NULL_QUANTILE
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, Table


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
        "random_median": "median faithfulness of random circuits of the same size, made of whole paths",
        "random_p95": "95th percentile of the faithfulness of random circuits of the same size",
        "n_random": "number of random circuits",
        "stability": "mean pairwise Jaccard index of the circuits of bootstrap samples of the discovery pairs",
        "stability_low": "2.5th percentile of that index over pairs of samples",
        "stability_high": "97.5th percentile of that index over pairs of samples",
        "verdict": f"{', '.join(CircuitVerdict)}; the first adds a missed target, the last two a reason",
        "file": "circuit file, relative to the study's directory",
    },
)
CIRCUIT_EDGES = Table(
    name="circuit_edges",
    row="one edge of the circuit found in one model",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "writer": "name of the edge's writer",
        "reader": "name of the edge's reader",
        "score": "effect of the edge on the metric, positive toward the clean run",
    },
)


def against_random(runs: Runs, circuit: Circuit, *, n_random: int) -> pd.DataFrame:
    """The circuit's faithfulness and accuracy, and the faithfulness of random circuits of the same size.

    Args:
        runs: the model and prompts that the circuit was not found on; its seed draws the random circuits.
        circuit: the circuit.
        n_random: number of random circuits to compare with.

    Returns:
        One row: `clean`, `corrupt` (means of the metric), `faithfulness` (fraction of the clean-corrupt gap) with
        `ci_low` and `ci_high`, `kl` (nats), `accuracy`, `accuracy_without`, `random_median`, `random_p95`, and
        `why_undefined`, which is empty if the faithfulness is defined.
    """
    drawn = random_connected_circuits(runs.model.graph, len(circuit), n_random, seed=runs.seed)
    found, without, *others = runs.evaluations([circuit.kept, circuit.complement().kept, *drawn])
    random = np.array([other.faithfulness for other in others])
    row = {
        "clean": found.clean.mean(),
        "corrupt": found.corrupt.mean(),
        **found.interval.columns("faithfulness", "ci"),
        "kl": found.divergence.value,
        "accuracy": found.accuracy.value,
        "accuracy_without": without.accuracy.value,
        "random_median": np.median(random),
        "random_p95": np.quantile(random, NULL_QUANTILE),
        "why_undefined": found.why_undefined,
    }
    return pd.DataFrame([row])


def verdict_of(*, faithfulness: float, low: float, random_p95: float, target: float, why_undefined: str) -> str:
    """The text of a `CircuitVerdict`, with the reason if it is undefined and the target if that is missed.

    Args:
        faithfulness: fraction of the gap that the circuit keeps; NaN if it is undefined.
        low: lower end of its 95% interval.
        random_p95: 95th percentile of the faithfulness of random circuits.
        target: faithfulness that the circuit was chosen to keep.
        why_undefined: why faithfulness is undefined, as a predicate of the gap.
    """
    if np.isnan(faithfulness):
        return f"{CircuitVerdict.UNDEFINED}: the clean-corrupt gap {why_undefined}"
    if low <= random_p95:
        return CircuitVerdict.NO_BETTER.value
    missed = "" if faithfulness >= target else f", but below the target of {target:g}"
    return f"{CircuitVerdict.FAITHFUL}{missed}"
