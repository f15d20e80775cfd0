"""Accuracy with some heads ablated: the causal test of a circuit's heads, against random heads of the same layers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import ablate
from interp_emerge.patching.base import Recorder
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.tables.schema import ABILITY_COLUMN, INTERVAL_COLUMNS, MODEL_COLUMNS, Table

ABLATION = Table(
    name="ablation",
    row="accuracy with some heads ablated",
    about={**MODEL_COLUMNS, **ABILITY_COLUMN},
    filled={
        "condition": "none, circuit heads, or random heads of the same layers",
        "draw": "which random choice; 0 otherwise",
        "heads": "names of the ablated heads, space between",
        "accuracy": "fraction of pairs answered right",
        **INTERVAL_COLUMNS,
    },
)


def accuracy_without(
    model: HookedModel, heads: Sequence[str], pairs: PromptPairs, *, record: Recorder = record
) -> np.ndarray:
    """Whether each clean prompt is answered right while the heads write what they wrote on the corrupt one.

    Resample ablation: the head stays a plausible head, but knows nothing of what tells clean from corrupt.

    Returns:
        0 or 1 for each pair, shape [pair].

    Raises:
        UnknownNameError: a head that the model lacks.
    """
    _head_nodes(model.graph, heads)
    return ablate(model, heads, pairs, ablation="resample", metric="accuracy", record=record)


def ablation_table(
    model: HookedModel,
    circuit: Circuit,
    pairs: PromptPairs,
    *,
    n_random: int,
    seed: int = 0,
    record: Recorder = record,
) -> pd.DataFrame:
    """Accuracy with nothing ablated, without the circuit's heads, and without as many others of the same layers.

    Args:
        model: what to run.
        circuit: whose heads to ablate: see `heads_to_ablate`.
        pairs: prompts that the circuit was not found on.
        n_random: draws of random heads; equal ones count once.
        seed: of the draws.
        record: gets the activations of a run; by default runs the model.

    Returns:
        The columns that fill `ABLATION`; accuracy is a fraction of pairs.
    """
    heads = heads_to_ablate(circuit)
    draws = [matched_random_heads(model.graph, heads, seed=seed + draw) for draw in range(n_random)]
    distinct = sorted({tuple(others) for others in draws if others is not None})
    conditions: list[tuple[str, int, list[str]]] = [("none", 0, []), ("circuit heads", 0, heads)]
    conditions += [("random heads of the same layers", i, list(others)) for i, others in enumerate(distinct)]
    rows = []
    for condition, draw, ablated in conditions:
        right = mean_interval(accuracy_without(model, ablated, pairs, record=record))
        rows.append((condition, draw, " ".join(ablated), right.value, right.low, right.high))
    return pd.DataFrame(rows, columns=pd.Index([*ABLATION.filled]))


def heads_to_ablate(circuit: Circuit) -> list[str]:
    """The circuit's heads, in a layer where it takes more than half of them the strongest half.

    Strength is the sum of the magnitudes of the edges that a head writes. With half of each layer left out, as many
    other heads of the same layers remain to compare with.
    """
    written = np.abs(circuit.scores * circuit.kept).sum(1)
    heads = _head_nodes(circuit.graph, circuit.heads)
    chosen: list[Node] = []
    for layer in sorted({node.layer for node in heads}):
        here = [node for node in heads if node.layer == layer]
        here.sort(key=lambda node: (-written[circuit.graph.writers.index(node)], node.index))
        chosen += sorted(here[: max(1, circuit.graph.n_heads // 2)])
    return [node.name for node in chosen]


def matched_random_heads(graph: Graph, heads: Sequence[str], *, seed: int) -> list[str] | None:
    """As many other heads from each layer as are named; None where a layer has too few others."""
    nodes = _head_nodes(graph, heads)
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for layer, count in sorted(Counter(node.layer for node in nodes).items()):
        taken = {node.index for node in nodes if node.layer == layer}
        others = [index for index in range(graph.n_heads) if index not in taken]
        if len(others) < count:
            return None
        chosen += [Node(layer, "head", int(index)).name for index in sorted(rng.choice(others, count, replace=False))]
    return chosen


def _head_nodes(graph: Graph, heads: Sequence[str]) -> list[Node]:
    by_name = {node.name: node for node in graph.writers if node.kind == "head"}
    for head in heads:
        if head not in by_name:
            raise UnknownNameError("head", head, by_name)
    return [by_name[head] for head in heads]
