"""How circuits change with the size of the model: how large they are, how many heads of each role, and how deep.

1. `circuit_scaling` lists the measures of each circuit in one tidy table: its numbers of edges, nodes and heads, these
   as fractions of the graph's, and the number, share and depth of its heads of each role. The size of the graph is not
   a function of parameters alone (Pythia 410M has eight times the edges of 1B). So compare shares, not only numbers.
2. `scaling_trends` takes the mean over seeds of each size, and Spearman's rank correlation with parameters over sizes.
   Tigges et al. (2024, https://arxiv.org/abs/2407.10827) report r ≈ 0.72 for the size of circuits.
3. The two-sided p-value is exact for up to eight sizes: the share of all orders of the sizes with as strong a
   correlation. For more sizes it is that of random orders. Seeds of one size are not independent models of other sizes,
   so whole sizes are permuted. The interval is that of a bootstrap over sizes, and over the seeds of each size.

With few sizes no p-value can be small. `least_p` is the p-value of a perfect order: 1/3 for three sizes and 1/12 for
four. With fewer than three sizes, or if a measure is the same at every size, the correlation is undefined. No model is
run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from math import factorial

import numpy as np
import pandas as pd

from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.record import Record
from interp_emerge.emergence.sameness.matching import NO_ROLE, HeadFeatures
from interp_emerge.stats.intervals import UNDEFINED, percentile_interval
from interp_emerge.stats.ranks import rank_p, spearman
from interp_emerge.stats.resampling import RESAMPLES
from interp_emerge.stats.significance import SIGNIFICANT

FEWEST_SIZES, MOST_EXACT = 3, 8
"""Sizes that a correlation needs, and sizes up to which all their orders are counted."""
UNITS = {
    "n_edges": "edges",
    "edge_share": "fraction of the graph's edges",
    "n_nodes": "heads and MLPs",
    "node_share": "fraction of the graph's heads and MLPs",
    "n_heads": "heads of the circuit",
    "head_share": "fraction of the model's heads",
    "depth": "fraction of all layers, mean over the role's heads in the circuit",
}
"""Unit of each measure of a circuit."""


class ScalingVerdict(StrEnum):
    """Whether a measure of circuits rises or falls with parameters."""

    RISES = "rises"
    """It rises: p is at most 0.05."""
    FALLS = "falls"
    """It falls: p is at most 0.05."""
    NO_TREND = "no trend seen"
    """p is above 0.05, and with these sizes it could have been smaller."""
    CANNOT_BE_TOLD = "cannot be told"
    """With so few sizes even a perfect order has a p-value above 0.05."""
    UNDEFINED = UNDEFINED
    """There are too few sizes, or the measure is the same at every size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SizedCircuit(Record):
    """A circuit, the size and seed of its model, and what the model's heads do if that is known."""

    size: str
    seed: int
    n_parameters: int
    circuit: Circuit
    features: HeadFeatures | None = None

    def __post_init__(self) -> None:
        if self.features is not None and self.features.graph != self.circuit.graph:
            raise InputError(f"the features given for {self.size} belong to a graph of another shape than its circuit")


@checked
def circuit_scaling(circuits: Sequence[SizedCircuit]) -> pd.DataFrame:
    """One row for each circuit, measure and role.

    Columns `size`, `seed`, `n_parameters` (non-embedding), `quantity` (a key of `UNITS`), `role` (`all`, or the role
    whose heads are counted), `value` and `unit`. The depth is empty if the circuit has no head of the role.

    Example:
        >>> one = ie.emergence.sameness.SizedCircuit(size="25k", seed=0, n_parameters=25_000, circuit=circuit)
        >>> ie.emergence.sameness.circuit_scaling([one])

    Raises:
        InputError: no circuit.
    """
    if not circuits:
        raise InputError("no circuit was given; give one for each size and seed")
    rows = []
    for one in circuits:
        about = {"size": one.size, "seed": one.seed, "n_parameters": one.n_parameters}
        rows += [{**about, **measure} for measure in _measures(one)]
    frame = pd.DataFrame(rows)
    return frame.assign(unit=frame["quantity"].map(UNITS))


@checked
def scaling_trends(table: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Whether each measure rises or falls with parameters, one row for each measure and role.

    Columns `quantity`, `role`, `n_sizes` (sizes with a value), `rho` (Spearman's rank correlation), `ci_low`,
    `ci_high`, `p_value`, `least_p` (p-value of a perfect order of so many sizes), `verdict` (a `ScalingVerdict`) and
    `reason`, why the verdict is undefined or cannot be told, empty otherwise.

    Example:
        >>> found = {"14k": smaller_circuit, "25k": circuit}
        >>> one = ie.emergence.sameness.SizedCircuit
        >>> sized = [one(size=size, seed=0, n_parameters=int(size[:-1]) * 1000, circuit=found[size]) for size in found]
        >>> ie.emergence.sameness.scaling_trends(ie.emergence.sameness.circuit_scaling(sized))

    Args:
        table: the result of `circuit_scaling`, or any table with its columns.
        resamples: bootstrap samples for the interval, and random orders for more than eight sizes.
        seed: of both.
    """
    rows = []
    for (quantity, role), part in table.groupby(["quantity", "role"], sort=False):
        by_size = part.dropna(subset="value").groupby("n_parameters")["value"]
        groups = [values.to_numpy(float) for _, values in by_size]
        rows.append({"quantity": quantity, "role": role, **_trend(groups, resamples, np.random.default_rng(seed))})
    return pd.DataFrame(rows)


def _measures(one: SizedCircuit) -> list[dict[str, object]]:
    circuit, graph = one.circuit, one.circuit.graph
    n_nodes = sum(not name.startswith("embed") for name in circuit.nodes)
    n_heads = graph.n_layers * graph.n_heads
    values: list[tuple[str, str, float]] = [
        ("n_edges", "all", len(circuit)),
        ("edge_share", "all", len(circuit) / graph.n_edges),
        ("n_nodes", "all", n_nodes),
        ("node_share", "all", n_nodes / (len(graph.writers) - 1)),
        ("n_heads", "all", len(circuit.heads)),
        ("head_share", "all", len(circuit.heads) / n_heads),
    ]
    if one.features is not None:
        heads, labels = np.array(one.features.heads), np.array(one.features.labels)
        inside = np.isin(heads, circuit.heads)
        for role in (*one.features.roles, NO_ROLE):
            here = inside & (labels == role)
            depth = float(one.features.depth[here].mean()) if here.any() else np.nan
            found = ("n_heads", here.sum()), ("head_share", here.sum() / n_heads), ("depth", depth)
            values += [(quantity, role, float(value)) for quantity, value in found]
    return [{"quantity": quantity, "role": role, "value": value} for quantity, role, value in values]


def _trend(groups: list[np.ndarray], resamples: int, rng: np.random.Generator) -> dict[str, object]:
    n = len(groups)
    means = np.array([values.mean() for values in groups])
    empty = {"n_sizes": n, "rho": np.nan, "ci_low": np.nan, "ci_high": np.nan, "p_value": np.nan, "least_p": np.nan}
    if n < FEWEST_SIZES:
        reason = f"{n} sizes, and at least {FEWEST_SIZES} are needed"
        return {**empty, "verdict": ScalingVerdict.UNDEFINED, "reason": reason}
    if np.ptp(means) == 0:
        return {**empty, "verdict": ScalingVerdict.UNDEFINED, "reason": "it is the same at every size"}
    scale = np.arange(n, dtype=float)
    orders = (
        np.array(list(permutations(range(n))))
        if n <= MOST_EXACT
        else np.array([np.arange(n), *(rng.permutation(n) for _ in range(resamples))])
    )
    # The first order is the one observed.
    rho, *others = spearman(scale, means[orders]).tolist()
    p_value = rank_p(abs(rho), np.abs(others))
    low, high = _interval(groups, resamples, rng)
    least = 2 / factorial(n) if n <= MOST_EXACT else 1 / len(orders)
    found = {"n_sizes": n, "rho": rho, "ci_low": low, "ci_high": high, "p_value": p_value, "least_p": least}
    verdict = _verdict(rho, p_value, least)
    few = verdict is ScalingVerdict.CANNOT_BE_TOLD
    return {**found, "verdict": verdict, "reason": f"{n} sizes in perfect order have p = {least:.2g}" if few else ""}


def _interval(groups: list[np.ndarray], resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Central 95% over samples of sizes, and of the seeds of each size. Samples without an order are left out."""
    n = len(groups)
    sizes = np.sort(rng.integers(n, size=(resamples, n)), axis=1)
    # A size that is drawn twice brings the same seeds both times, so it counts as one size.
    of_size = np.stack([values[rng.integers(len(values), size=(resamples, len(values)))].mean(1) for values in groups])
    means = np.take_along_axis(of_size.T, sizes, 1)
    distinct = 1 + (np.diff(sizes, axis=1) > 0).sum(1)
    usable = (distinct >= FEWEST_SIZES) & (np.ptp(means, axis=1) > 0)
    if not usable.any():
        return np.nan, np.nan
    drawn = percentile_interval(np.nan, spearman(sizes[usable], means[usable]))
    return drawn.low, drawn.high


def _verdict(rho: float, p_value: float, least: float) -> ScalingVerdict:
    if p_value <= SIGNIFICANT:
        return ScalingVerdict.RISES if rho > 0 else ScalingVerdict.FALLS
    return ScalingVerdict.CANNOT_BE_TOLD if least > SIGNIFICANT else ScalingVerdict.NO_TREND
