"""Find a circuit on some prompts: score nodes or edges, then select.

1. `ie.score` gives every node or edge its effect.
2. The circuit is chosen in one of these ways: a number of edges or a share of the graph's edges (the strongest, or
   grown from the logits), a threshold, a number of nodes, or by default the smallest circuit that reaches a target
   (`circuits.finding.selection`).

The circuit is a claim about other prompts. So hold back some pairs to test it on (`PromptPairs.split`, or another seed
of the ability), as `circuits.testing.examination` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.circuits.finding.selection import SELECTIONS, Select, grow, smallest_faithful
from interp_emerge.circuits.finding.stability import ORDERS, Stability, stability, stability_of
from interp_emerge.circuits.running.runs import Runs, runs_of
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, NodeScores
from interp_emerge.patching.scores import By
from interp_emerge.patching.scoring import score


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundCircuit(Record):
    """A circuit and the scores that it was chosen by."""

    circuit: Circuit
    scores: NodeScores | EdgeScores


@checked
def find_circuit(
    runs: Runs | HookedModel,
    pairs: PromptPairs | None = None,
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
) -> FoundCircuit:
    """The circuit that a method finds on the pairs of some runs.

    At most one of `target`, `n_edges`, `share`, `threshold` and `n_nodes` sets the size of the circuit.

    Example:
        >>> found = ie.find_circuit(model, pairs, method="eap", n_edges=10)
        >>> found.circuit.heads, len(found.circuit)

    Args:
        runs: the model, the pairs to find the circuit on (test it on others), the metric, the ablation that is used in
            the search for the smallest circuit, and the seed of a method that draws.
        pairs: the pairs, if `runs` is a model; other arguments of `Runs` then have their defaults.
        method: name of a patching method.
        target: fraction of the clean-corrupt gap to keep; 0.8 if nothing else sets the size.
        n_edges: number of edges.
        share: share of the graph's edges, above 0 and at most 1.
        threshold: smallest score of an edge, in the metric's unit.
        n_nodes: number of nodes, with all edges between them; for methods that score nodes.
        select: the strongest edges (`top`), or edges grown from the logits (`grow`).
        by: strength of an edge or node: its `magnitude`, or its `score`, which is the default for thresholds.
        local_search: whether to drop single edges from the smallest circuit.
        sure: whether the lower end of the 95% interval must reach the target, instead of the value.
        options: options of the method, such as `steps` of `eap_ig`. An option with the name of an argument above has
            `method_` in front: `method_threshold` is the `threshold` of `acdc`.

    Raises:
        InputError: two of the five sizes are given, or one that does not fit the method.
        UnknownNameError: no method, selection or order has the name.
    """
    sizes = {
        "a target": target,
        "a number of edges": n_edges,
        "a share": share,
        "a threshold": threshold,
        "a number of nodes": n_nodes,
    }
    runs = runs_of(runs, pairs)
    given = [name for name, value in sizes.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} each set the size of the circuit; give only one of them")
    if select != "top" and (threshold is not None or n_nodes is not None):
        raise InputError(
            f"select={select!r} does not work with {given[0]}; give a target, a share or a number of edges"
        )
    by = by or ("score" if threshold is not None else "magnitude")
    for name, value, known in (("selection", select, SELECTIONS), ("order", by, ORDERS)):
        if value not in known:
            raise UnknownNameError(name, value, known)
    if (shelf[method].scores == "nodes") != (n_nodes is not None):
        fitting = "give n_nodes" if n_nodes is None else "leave n_nodes out"
        raise InputError(f"method {method!r} scores {shelf[method].scores}; {fitting}")
    given_options = {name.removeprefix("method_"): value for name, value in options.items()}
    own = shelf[method].pick(seed=runs.seed) | given_options
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
    return FoundCircuit(circuit=circuit, scores=scores)


def selected_again(scores: EdgeScores, circuit: Circuit, *, resamples: int = 100, seed: int = 0) -> Stability:
    """The stability of a circuit if other prompts are selected from as its origin says it was selected itself."""
    chosen = circuit.origin.get("selection") or {}
    by, threshold, n = chosen.get("by", "magnitude"), chosen.get("threshold"), chosen.get("n_edges", len(circuit))
    how: dict[str, Any] = {"resamples": resamples, "by": by, "seed": seed}
    if threshold is not None:
        return stability(scores, circuit, select=lambda sampled: sampled.above(threshold, by=by), **how)
    if chosen.get("select") == "grow":
        return stability(scores, circuit, select=lambda sampled: grow(sampled, max(1, n), by=by), **how)
    return stability(scores, circuit, **how)


@checked
def search_stability(runs: Runs, circuit: Circuit, sets: Sequence[PromptPairs], **how: Any) -> Stability:
    """How similar the circuits are that the whole search finds on new sets of prompts.

    Scoring, selection and local search are repeated on each set. `stability` keeps the number of edges and the way of
    selection, and needs no new prompts. The mean over all pairs of circuits is the expected index, without correction.

    Example:
        >>> sets = [ability.sample(model, n=16, seed=seed) for seed in (2, 3, 4)]
        >>> found = ie.find_circuit(model, pairs, method="eap", n_edges=10)
        >>> ie.circuits.finding.search_stability(runs, found.circuit, sets, method="eap", n_edges=10)

    Args:
        runs: what the circuit was found with.
        circuit: the circuit found on the pairs of the runs.
        sets: independent draws of prompt pairs, three or more, such as `ability.sample` gives with different seeds;
            each with as many pairs as the runs.
        how: arguments of `find_circuit`.

    Raises:
        InputError: there are fewer than three sets, a set has another number of pairs than the runs, or as
            `find_circuit` does.
    """
    n, others = len(runs.pairs), {len(pairs) for pairs in sets} - {len(runs.pairs)}
    if others:
        raise InputError(f"the circuit was found on {n} pairs, but a set has {min(others)}; circuits of other numbers "
                         "of pairs are more or less similar, so give sets of as many pairs")  # fmt: skip
    bar = tqdm(sets, desc="searches", delay=2, leave=False)
    found = [find_circuit(runs.replace(pairs=pairs), **how).circuit for pairs in bar]
    return stability_of(circuit, found, n_pairs=n)


def edges_in(graph: Graph, share: float) -> int:
    """The number of edges in a share of the graph's edges, at least one.

    Raises:
        InputError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share:g} is not a share of the graph's edges; give a number above 0 and at most 1")
    return max(1, round(share * graph.n_edges))
