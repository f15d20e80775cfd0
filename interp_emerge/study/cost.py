"""Estimate what finding and testing a circuit takes, before doing it.

The method gives the passes of scoring (`ie.estimate`). Tests are counted in circuit runs; the count is an upper bound,
since equal circuits share a run. A batch of small circuits, a batch of models without such a circuit, and one
measurement of roles are timed. A circuit that has not been found yet is assumed to have one percent of the graph's
edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from types import MappingProxyType
from typing import Any

import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.finding.null_circuits import ALWAYS, kinds_of
from interp_emerge.circuits.finding.selection import BLOCKS
from interp_emerge.circuits.roles.table import BASELINE_HEADS, role_scores
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.circuits.running.runs import GRID, Runs
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import counted
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import format_bytes
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import untrained
from interp_emerge.patching.ablation import Ablation
from interp_emerge.patching.engines.circuit_run import batch_sizes
from interp_emerge.patching.scoring import estimate

TIMED = 4
"""Number of circuit runs in each batch that is timed."""
ROUNDS = 5
"""Rounds that a local search is assumed to take."""
ROLE_GROUPS = 5
"""Measurements for the roles of one model; each takes about as long as that of the attention patterns."""
ASSUMED_SHARE = 0.01
"""Share of the graph's edges that a circuit is assumed to have while none is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What would be computed: one row for each stage, with `passes`, `bytes` and `seconds`."""

    stages: pd.DataFrame
    assumed: str = ""
    """What is assumed of a circuit that has not been found yet."""

    @property
    def sentences(self) -> list[str]:
        """The total time and the largest memory, in words."""
        most, seconds = int(self.stages["bytes"].max()), float(self.stages["seconds"].sum())
        on = f"on this machine{f', {self.assumed}' if self.assumed else ''}"
        return [f"At most about {seconds:.0f} seconds and {format_bytes(most)} of memory besides the weights, {on}."]

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """The table of stages, by its name."""
        return {"stages": self.stages}

    def to_dict(self) -> dict[str, Any]:
        """The stages as plain values."""
        return {"sentences": self.sentences, "stages": self.stages.to_dict("records")}


def expected(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    parts: Sequence[str] = (),
    n_random: int = 100,
    circuit: Circuit | None = None,
    repeat: int = 0,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    budget: int | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """The cost of finding a circuit, repeating the search `repeat` times, and examining the circuit in these parts."""
    graph = model.graph
    n_edges = max(1, round(ASSUMED_SHARE * graph.n_edges)) if circuit is None else len(circuit)
    drawn = random_circuits(graph, max(1, n_edges), TIMED, seed=0)
    timed = Runs(model, pairs, metric=metric, ablation=ablation)
    small = _seconds_each(timed, [graph.prune(edges) for edges in drawn])
    large = _seconds_each(timed, [graph.exists & ~edges for edges in drawn])
    searching = 35 + ROUNDS * (10 + min(n_edges, 2 * BLOCKS))
    runs = {} if circuit is not None else {"select": searching}
    runs |= {"repeated searches": repeat * searching} if repeat else {}
    runs |= {"evaluation": 2}
    n_kinds = len(ALWAYS if circuit is None else kinds_of(circuit))
    of_parts = runs_of_parts(graph, n_edges, n_random, n_kinds)
    runs |= {part: count for part, count in of_parts.items() if part in parts}
    # Runs of the model without something; those under other ablations than resampling take as long.
    whole = {name: of_parts[name] for name in ("backup", "ablations")}
    whole |= {"hypotheses": 1 + n_kinds * n_random, "completeness": of_parts["completeness"] // 2, "evaluation": 1}
    rows = []
    if circuit is None:
        scoring = estimate(model, pairs, method=method, metric=metric, budget=budget, **options)
        rows.append(("score", scoring.passes * (1 + repeat), scoring.bytes, scoring.seconds * (1 + repeat)))
    for stage, count in runs.items():
        *_, size = batch_sizes(model, int(pairs.lengths.max()), n_pairs=len(pairs), n_circuits=count, budget=budget)
        n_large = min(count, whole.get(stage, 0))
        seconds = (count - n_large) * small + n_large * large
        if stage == "roles":
            n_untrained = _untrained(graph)
            count, seconds = count + n_untrained, seconds + n_untrained * _role_seconds(model)
        rows.append((stage, count, size, seconds))
    assumed = "" if circuit is not None else f"for a circuit of {counted(n_edges, 'edge')}; an empty one takes far less"
    return Plan(stages=pd.DataFrame(rows, columns=["stage", "passes", "bytes", "seconds"]), assumed=assumed)


def _seconds_each(runs: Runs, circuits: Sequence[EdgeMask]) -> float:
    """Seconds of one circuit run: the shorter of two times, which other processes disturb less."""
    times = []
    for _ in range(2):
        start = perf_counter()
        runs.metric_of(circuits, len(circuits), what="timed circuits")
        times.append(perf_counter() - start)
    return min(times) / len(circuits)


def _untrained(graph: Graph) -> int:
    """Number of untrained models that give the baselines of roles."""
    return ceil(BASELINE_HEADS / (graph.n_layers * graph.n_heads))


def _role_seconds(model: HookedModel) -> float:
    """Seconds for the roles of one model; all kinds of roles are counted like those by attention."""
    start = perf_counter()
    role_scores(untrained(model, 0))
    return ROLE_GROUPS * (perf_counter() - start)


def runs_of_parts(graph: Graph, n_edges: int, n_random: int, n_kinds: int = len(ALWAYS)) -> dict[str, int]:
    """The largest number of circuit runs in each part of an examination, for a circuit of `n_edges` edges.

    `n_kinds` is the number of kinds of random circuits; all of them are run only for a circuit that beats them all.
    """
    n_nodes = min(len(graph.writers), ceil(n_edges**0.5) + 1)
    return {
        "ablations": 8,
        "curve": 2 * len(GRID),
        "backup": 2 * graph.n_layers * graph.n_heads + 2,
        "hypotheses": 2 * (1 + n_kinds * n_random) + n_edges + min(max(n_random, 20 * n_edges), max(n_random, 1000)),
        "completeness": 2 * 21 + 2 * 8 * n_nodes,
        "minimality": 2 * (n_nodes + 20) * 11 * 2,
        "roles": n_nodes + 1,
    }
