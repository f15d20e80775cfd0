"""Say what finding and testing a circuit would take, before it is done.

The passes of scoring come from the method (`patching.estimate`). Tests are counted in circuit runs, for a circuit of
one percent of the graph's edges, at most: equal circuits share a run. One such run is timed on these pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Any

import pandas as pd

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.circuits.evaluation import evaluate_many, random_circuits
from interp_emerge.core.graph import Graph
from interp_emerge.core.memory import in_words
from interp_emerge.core.model import HookedModel
from interp_emerge.patching._circuit_run import batch_sizes
from interp_emerge.patching._scoring import estimate

SUPPOSED_SHARE = 0.01
"""Share of the graph's edges that a circuit is supposed to have while none is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is to be computed: one row a stage, with `passes`, `bytes` and `seconds`."""

    stages: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """The sum, in words."""
        most, seconds = int(self.stages["bytes"].max()), float(self.stages["seconds"].sum())
        return [f"About {seconds:.0f} seconds and {in_words(most)} beside the weights, on this machine."]

    @property
    def shown(self) -> dict[str, pd.DataFrame]:
        """The table, by its name."""
        return {"stages": self.stages}

    def to_dict(self) -> dict[str, Any]:
        """The stages as plain values."""
        return {"sentences": self.sentences, "stages": self.stages.to_dict("records")}


def expected(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    steps: int = 5,
    parts: Sequence[str] = (),
    n_random: int = 100,
    metric: str = "logit_diff",
    ablation: str = "resample",
    budget: int | None = None,
) -> Plan:
    """What finding a circuit with the method and examining it in these parts would take."""
    graph = model.graph
    supposed = max(1, round(SUPPOSED_SHARE * graph.n_edges))
    scoring = estimate(model, pairs, method=method, metric=metric, steps=steps, budget=budget)
    taken = []
    for seed in (0, 1):
        (edges,) = random_circuits(graph, supposed, 1, seed=seed)
        start = perf_counter()
        evaluate_many(model, [graph.exists & ~edges], pairs, metric=metric, ablation=ablation, budget=budget)
        taken.append(perf_counter() - start)
    runs = {"select": 20 + 3 * supposed, "evaluation": 2} | {
        part: count for part, count in runs_of_parts(graph, supposed, n_random).items() if part in parts
    }
    rows = [("score", scoring.passes, scoring.bytes, scoring.seconds)]
    for stage, count in runs.items():
        *_, size = batch_sizes(model, pairs.length, n_pairs=len(pairs), n_circuits=count, budget=budget)
        rows.append((stage, count, size, count * min(taken)))
    return Plan(stages=pd.DataFrame(rows, columns=["stage", "passes", "bytes", "seconds"]))


def runs_of_parts(graph: Graph, n_edges: int, n_random: int) -> dict[str, int]:
    """Circuit runs of each part of an examination, at most, for a circuit with so many edges."""
    n_nodes = min(len(graph.writers), ceil(n_edges**0.5) + 1)
    return {
        "ablations": 8,
        "hypotheses": 2 * (1 + n_random) + n_edges + min(max(n_random, 20 * n_edges), max(n_random, 1000)),
        "completeness": 2 * 21 + 2 * 8 * n_nodes,
        "minimality": 2 * (n_nodes + 20) * 11 * 2,
        "roles": n_nodes + 1,
    }
