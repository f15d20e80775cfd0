"""The evaluation of one circuit, or of the best edges at each size, in one call; and random circuits, the null.

Each call makes a `Runs` of the model and the pairs and uses it once.
"""

from collections.abc import Sequence

import numpy as np

from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.circuits.running.runs import GRID, Level, Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import Ablation
from interp_emerge.patching.base import EdgeScores, Recorder


@checked
def evaluate(
    model: HookedModel,
    circuit: Circuit,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    level: Level = "edges",
    budget: int | None = None,
    record: Recorder = record,
) -> Evaluation:
    """What a circuit keeps of the model's behaviour on the pairs, with everything outside it ablated.

    Example:
        >>> ie.evaluate(model, circuit, held_out, ablation="mean").faithfulness

    Args:
        model: the model that the circuit is claimed for.
        circuit: edges of the model's graph.
        pairs: prompt pairs; to test a circuit, pairs that it was not chosen on.
        metric: see `Runs`.
        ablation: see `Runs`.
        level: whether all edges outside the circuit are ablated, or only the outputs of nodes outside it.
        budget: see `Runs`.
        record: see `Runs`.

    Raises:
        InputError: the circuit belongs to a graph of another shape.
        UnknownNameError: no metric, ablation or level has the name.
    """
    runs = Runs(model, pairs, metric=metric, ablation=ablation, budget=budget, record=record)
    return runs.evaluate(circuit, level=level)


@checked
def faithfulness_curve(
    model: HookedModel,
    scores: EdgeScores,
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    shares: Sequence[float] = GRID,
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> FaithfulnessCurve:
    """Faithfulness of the best edges at each share of the graph's edges, and CPR and CMD.

    CPR takes the edges with the highest scores first, CMD those with the largest magnitudes of score. The other
    arguments are those of `Runs` and `Runs.curve`.

    Example:
        >>> curve = ie.faithfulness_curve(model, scores, held_out, shares=(0.1, 0.3, 1.0))
        >>> curve.to_frame()
        >>> curve.cpr, curve.cmd

    Raises:
        InputError: the shares do not ascend, one is not above 0 and at most 1, or there are none.
    """
    runs = Runs(model, pairs, metric=metric, ablation=ablation, budget=budget, record=record)
    return runs.curve(scores, shares=shares)


@checked
def random_circuits(graph: Graph, n_edges: int, count: int, *, seed: int = 0) -> list[EdgeMask]:
    """`count` random sets of `n_edges` edges, each of shape [writer, reader]: the null for claims about a circuit.

    Example:
        >>> drawn = ie.circuits.running.random_circuits(model.graph, 12, 3)
        >>> [runs.evaluate(circuit.with_kept(mask)).recovery for mask in drawn]
    """
    rng = np.random.default_rng(seed)
    at = np.argwhere(graph.exists)
    circuits = np.zeros((count, *graph.exists.shape), dtype=bool)
    for circuit in circuits:
        circuit[tuple(at[rng.choice(len(at), size=n_edges, replace=False)].T)] = True
    return list(circuits)
