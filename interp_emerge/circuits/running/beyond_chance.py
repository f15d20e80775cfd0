"""A circuit on prompts that it was not found on, next to random circuits of its size: is it better than chance?

1. `against_random` runs the circuit, the model without it, and random circuits of as many edges, all of whose edges lie
   on paths from the embedding to the logits.
2. `verdict_of` says whether the circuit beats them: the lower end of its interval has to exceed their 95th percentile.

Cost: 2 + `n_random` circuit runs.
"""

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.circuit import Circuit
from interp_emerge.stats.ranks import NULL_QUANTILE
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, Table

CIRCUITS = Table(
    name="circuits",
    row="the circuit found in one model",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "method": "edge scoring method",
        "metric": "metric of the faithfulness",
        "n_edges": "edges in the circuit",
        "n_graph_edges": "edges in the whole graph",
        "edge_share": "n_edges as a fraction of n_graph_edges",
        "clean": "mean metric of the whole model on clean prompts",
        "corrupt": "mean metric of the whole model on corrupt prompts",
        "faithfulness": "fraction of the clean-corrupt gap that the circuit alone keeps; empty if undefined",
        **INTERVAL_COLUMNS,
        "kl": "mean divergence of the circuit's next-token distribution from the whole model's, nats",
        "accuracy": "share of prompts that the circuit alone answers right",
        "accuracy_without": "share of prompts that the model answers right with the circuit's edges ablated",
        "random_median": "median faithfulness of random circuits of equal size, made of whole paths",
        "random_p95": "95th percentile of the faithfulness of random circuits of equal size",
        "n_random": "number of random circuits",
        "stability": "mean Jaccard index, two by two, of circuits of bootstrap samples of the discovery pairs",
        "stability_low": "2.5th percentile of that index over pairs of samples",
        "stability_high": "97.5th percentile of that index over pairs of samples",
        "verdict": "faithful, no better than random circuits, or undefined with the reason",
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
    """The circuit's faithfulness and accuracy, and the faithfulness of random circuits of equal size.

    Args:
        runs: what to run on, prompts that the circuit was not found on; its seed is that of the random circuits.
        circuit: the circuit.
        n_random: random circuits to compare with.

    Returns:
        One row: `clean`, `corrupt` (means of the metric), `faithfulness` (fraction of the clean-corrupt gap) with
        `ci_low` and `ci_high`, `kl` (nats), `accuracy`, `accuracy_without`, `random_median`, `random_p95`, and
        `why_undefined`, which is empty where the faithfulness is defined.
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
    """Whether a circuit keeps more than random ones, in words.

    Args:
        faithfulness: fraction of the gap that the circuit keeps; NaN where it is undefined.
        low: lower end of its 95% interval.
        random_p95: 95th percentile of random circuits.
        target: faithfulness that the circuit was chosen to keep.
        why_undefined: the reason where it is.
    """
    if np.isnan(faithfulness):
        return f"undefined: the clean-corrupt gap {why_undefined}"
    if low <= random_p95:
        return "no better than random circuits"
    short = "" if faithfulness >= target else f", but below the target of {target:g}"
    return f"faithful beyond random circuits{short}"
