"""Accuracy with the circuit's heads ablated, compared with ablating random heads of the same layers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.tables import ABLATION
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import ablate
from interp_emerge.patching.base import Recorder
from interp_emerge.stats.intervals import mean_interval


def accuracy_without(
    model: HookedModel, heads: Sequence[str], pairs: PromptPairs, *, record: Recorder = record
) -> np.ndarray:
    """Whether each clean prompt is answered correctly while the heads write what they wrote on the corrupted one.

    This is resample ablation: a head still writes plausible output, but without the difference between the prompts.

    Returns:
        0 or 1 for each pair, shape [pair].

    Raises:
        UnknownNameError: the model has no head of this name.
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
    """Accuracy with no head ablated, with the circuit's heads ablated, and with the same number of other heads ablated.

    Args:
        model: the model to run.
        circuit: the circuit whose heads are ablated: see `heads_to_ablate`.
        pairs: prompts that the circuit was not found on.
        n_random: number of draws of random heads from the same layers; equal draws count once.
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
        right = mean_interval(accuracy_without(model, ablated, pairs, record=record), share=True)
        rows.append((condition, draw, " ".join(ablated), right.value, right.low, right.high))
    return pd.DataFrame(rows, columns=pd.Index([*ABLATION.filled]))


def heads_to_ablate(circuit: Circuit) -> list[str]:
    """The circuit's heads, but at most the strongest half of each layer's heads.

    The strength of a head is the sum of the magnitudes of the scores of the edges that it writes. Half of each layer
    stays free, so the same number of other heads remains to compare with.
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
    """The same number of other heads, drawn at random from each layer; None if a layer has too few other heads."""
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
