"""Find a circuit on some prompts: score, then select.

1. `ie.score` gives every node or edge its effect.
2. One of these chooses: a number of edges or a share of the graph's (the strongest, or grown from the logits), a
   threshold, a number of nodes, or by default the smallest circuit that reaches a target
   (`circuits.finding.selection`).

The circuit is a claim about other prompts: hold back pairs to put it to the test on (`PromptPairs.split`, or another
seed of the ability), as `circuits.testing.examination` does.
"""

from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from interp_emerge.circuits.finding.selection import SELECTIONS, Select, grow, smallest_faithful
from interp_emerge.circuits.finding.stability import Stability, stability, stability_of
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, NodeScores
from interp_emerge.patching.scores import By
from interp_emerge.patching.scoring import score
from interp_emerge.stats.resampling import resample_rows

ORDERS = ("score", "magnitude")


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A circuit, and the scores that it was chosen by."""

    circuit: Circuit
    scores: NodeScores | EdgeScores


@checked
def find_circuit(
    runs: Runs,
    *,
    method: str = "eap_ig",
    target: float | None = None,
    n_edges: int | None = None,
    share: float | None = None,
    threshold: float | None = None,
    n_nodes: int | None = None,
    select: Select = "top",
    by: By | None = None,
    local_search: bool = True,
    sure: bool = True,
    **options: Any,
) -> Found:
    """The circuit that a method finds on the pairs of some runs.

    Args:
        runs: the model, prompts to find the circuit on (judge it on others), the metric, what stands for edges outside
            while the smallest circuit is looked for, and the seed of a method that draws.
        method: name of a patching method.
        target: fraction of the clean-corrupt gap to keep; 0.8 if nothing else says how large the circuit is to be.
        n_edges: number of edges instead.
        share: share of the graph's edges instead, above 0 and at most 1.
        threshold: least score of an edge instead, in the metric's unit.
        n_nodes: number of nodes instead, with all edges between them; for methods that score nodes.
        select: the strongest edges (`top`), or grown from the logits (`grow`).
        by: what makes an edge or node strong: `magnitude`, or `score`, which thresholds compare with by default.
        local_search: whether to drop single edges from the smallest circuit.
        sure: whether the lower end of the 95% interval has to reach the target.
        options: the method's own, such as `steps` of `eap_ig`.

    Raises:
        InputError: two of target, n_edges, share, threshold and n_nodes, or one that does not fit the method.
        UnknownNameError: no method or selection has the name.
    """
    sizes = {
        "a target": target,
        "a number of edges": n_edges,
        "a share": share,
        "a threshold": threshold,
        "a number of nodes": n_nodes,
    }
    given = [name for name, value in sizes.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} each say how large the circuit is; give one of them")
    if select != "top" and (threshold is not None or n_nodes is not None):
        raise InputError(f"{given[0]} leaves nothing to grow; give a target, a share or a number of edges")
    by = by or ("score" if threshold is not None else "magnitude")
    for name, value, known in (("selection", select, SELECTIONS), ("order", by, ORDERS)):
        if value not in known:
            raise UnknownNameError(name, value, known)
    if (shelf[method].scores == "nodes") != (n_nodes is not None):
        fitting = "say how many nodes to keep" if n_nodes is None else "leave the number of nodes out"
        raise InputError(f"method {method!r} scores {shelf[method].scores}; {fitting}")
    own = shelf[method].pick(seed=runs.seed) | options
    how: dict[str, Any] = {"metric": runs.metric, "budget": runs.budget, "record": runs.record}
    scores = score(runs.model, runs.pairs, method=method, **how, **own)
    chosen: dict[str, Any] = {"select": select, "by": by, "metric": scores.origin.get("metric")}
    if isinstance(scores, NodeScores):
        circuit = scores.top(n_nodes or 0, by=by).with_origin(selection=chosen | {"n_nodes": n_nodes})
    elif threshold is not None:
        circuit = scores.above(threshold, by=by).with_origin(selection=chosen | {"threshold": threshold})
    elif share is not None or n_edges is not None:
        count = edges_in(scores.graph, share) if share is not None else n_edges or 0
        circuit = grow(scores, count, by=by) if select == "grow" else scores.top(count, by=by)
        circuit = circuit.with_origin(selection=chosen | {"n_edges": count})
    else:
        target = 0.8 if target is None else target
        circuit = smallest_faithful(
            runs, scores, target=target, select=select, by=by, local_search=local_search, sure=sure
        )
    return Found(circuit=circuit, scores=scores)


def selected_again(scores: EdgeScores, circuit: Circuit, *, resamples: int = 100, seed: int = 0) -> Stability:
    """How stable a circuit is under the selection that its origin names: by threshold, grown, by score or magnitude."""
    chosen = circuit.origin.get("selection") or {}
    by, threshold, n = chosen.get("by", "magnitude"), chosen.get("threshold"), chosen.get("n_edges", len(circuit))
    how: dict[str, Any] = {"resamples": resamples, "by": by, "seed": seed}
    if threshold is not None:
        return stability(scores, circuit, select=lambda sampled: sampled.above(threshold, by=by), **how)
    if chosen.get("select") == "grow":
        return stability(scores, circuit, select=lambda sampled: grow(sampled, max(1, n), by=by), **how)
    return stability(scores, circuit, **how)


@checked
def search_stability(runs: Runs, circuit: Circuit, *, resamples: int = 20, **how: Any) -> Stability:
    """How alike the circuits are that the whole search finds on bootstrap samples of the pairs.

    Scoring, selection and local search are done again on each sample, with the same seed. That is stricter than
    `stability`, which keeps the size and the order of selection, and takes a search a sample.

    Args:
        runs: what the circuit was found with; its seed is that of the samples, too.
        circuit: what was found on all pairs.
        resamples: bootstrap samples.
        how: arguments of `find_circuit`.

    Raises:
        InputError: fewer than two samples, or as `find_circuit` does.
    """
    rows = resample_rows(len(runs.pairs), resamples=resamples, seed=runs.seed)
    bar = tqdm(rows, desc="searches", delay=2, leave=False)
    return stability_of(
        circuit, [find_circuit(runs.replace(pairs=runs.pairs[sample]), **how).circuit for sample in bar]
    )


def edges_in(graph: Graph, share: float) -> int:
    """How many edges make a share of the graph, at least one.

    Raises:
        InputError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share:g} is not a share of the graph's edges; give a number above 0 and at most 1")
    return max(1, round(share * graph.n_edges))
