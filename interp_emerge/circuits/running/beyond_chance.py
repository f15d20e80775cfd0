"""Whether a circuit is better than chance: it is compared with random circuits, on prompts that it was not found on.

1. `against_random` runs the circuit, the model without it, and random circuits of the same size of each kind that the
   circuit may be one of (`circuits.finding.null_circuits`). The kind with the highest 95th percentile counts.
2. `verdict_of` says whether the circuit beats them: the lower end of its interval must exceed that percentile.

Cost: 2 + `n_random` circuit runs, rounded up to equal numbers of each kind.
"""

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.null_circuits import kinds_of, null_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.circuits.tables import CircuitVerdict
from interp_emerge.core.circuit import Circuit
from interp_emerge.stats.ranks import NULL_QUANTILE


def against_random(runs: Runs, circuit: Circuit, *, n_random: int) -> pd.DataFrame:
    """The circuit's faithfulness and accuracy, and the faithfulness of random circuits of the same size.

    Args:
        runs: the model and prompts that the circuit was not found on; its seed draws the random circuits.
        circuit: the circuit.
        n_random: number of random circuits to compare with, of all kinds together.

    Returns:
        One row: `clean`, `corrupt` (means of the metric), `faithfulness` (fraction of the clean-corrupt gap) with
        `ci_low` and `ci_high`, `kl` (nats), `accuracy`, `accuracy_without`, `random_median`, `random_p95`, `n_random`
        and `random_kind` (of the random circuits with the highest 95th percentile), and `why_undefined`, which is empty
        if the faithfulness is defined.
    """
    kinds = kinds_of(circuit)
    n_each = -(-n_random // len(kinds))
    drawn = [edges for kind in kinds for edges in null_circuits(circuit, kind, n_each, seed=runs.seed)]
    found, without, *others = runs.evaluations([circuit.kept, circuit.complement().kept, *drawn])
    random = np.array([other.faithfulness for other in others]).reshape(len(kinds), n_each)
    high = np.quantile(random, NULL_QUANTILE, axis=1)
    most = int(np.argmax(high))
    row = {
        "clean": found.clean.mean(),
        "corrupt": found.corrupt.mean(),
        **found.interval.columns("faithfulness", "ci"),
        "kl": found.divergence.value,
        "accuracy": found.accuracy.value,
        "accuracy_without": without.accuracy.value,
        "random_median": np.median(random[most]),
        "random_p95": high[most],
        "n_random": n_each,
        "random_kind": str(kinds[most]),
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
