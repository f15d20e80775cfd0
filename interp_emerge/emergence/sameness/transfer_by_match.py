"""Whether the circuit of one size or seed would do in another: carried over by matched heads or by roles, then run.

Graphs of two sizes have no edges in common, and in each seed of one size other heads take the roles. So a circuit found
at A is first expressed in the edges of the model at B, then run there with every other edge ablated. There are two ways
to carry it (`Way`).

1. `matched heads`: each edge becomes the edge between the partners of its two nodes. Heads are matched by
   `matching.match_heads`, MLPs by relative depth. An edge without a partner is left behind.
2. `roles`: all edges of B whose class, such as `previous_token → induction K`, occurs in A's circuit. This needs no
   partner for each head and no scores of B, only the roles of its heads. It takes all edges of a class, because without
   scores none is better than another. Edges of heads without a role are left behind.
3. `_in_one_model` runs these circuits and B's `own` circuit for their faithfulness (m(C) − m(∅)) / (m(M) − m(∅)), a
   fraction that may leave [0, 1], with its 95% interval over pairs (`circuits.running.faithfulness`).

Each faithfulness is compared with two nulls.

* *Random*: connected circuits with as many edges. They show what any circuit of that size keeps.
* *Renamed*: the same circuit with B's heads exchanged at random within their layers. That is a random match that
  keeps layers and the circuit's shape. It shows what the choice of heads adds.

A p-value is that of the rank among the draws (`stats.ranks`). It is not adjusted for the number of rows, and it does
not measure size: 0.01 of a gap can be more than all random circuits keep. Renamings are drawn with replacement and
include the circuit itself. With two heads in each of two layers one in four is the circuit itself, and no p-value can
be small.

Transfer as a test of sameness comes from Tigges et al., 2024, https://arxiv.org/abs/2407.10827, between checkpoints of
one model. A carried circuit that does well shows that these edges would do in B, not that B relies on them. One that
does badly may be the fault of the match. So the table also gives the share of score mass left behind, and the share on
heads whose partner is not identifiable. The match uses B's own scores, through what its heads read and write; roles do
not. Faithfulness is undefined where B has no clean-corrupt gap beyond noise.

Cost: in each model, for every circuit and way one circuit run and `n_random` renamed ones, and `n_random` random ones
for every different size; a match for every two models.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

import numpy as np
import pandas as pd

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.emergence.sameness.matching import NO_ROLE, HeadFeatures, Match, match_heads
from interp_emerge.emergence.sameness.similarity import class_codes
from interp_emerge.emergence.sameness.transfer import Models, Pairs, each_model, pairs_for
from interp_emerge.patching.ablation import Ablation
from interp_emerge.stats.ranks import null_quantile, rank_p


class Way(StrEnum):
    """How a circuit came to the model that it is run in."""

    OWN = "own"
    """It was found there."""
    MATCHED_HEADS = "matched heads"
    """Each edge became the edge between the partners of its nodes."""
    ROLES = "roles"
    """All edges of the circuit's classes stand for it."""


COLUMNS = {
    "from": "label of the model that the circuit was found in",
    "to": "label of the model that it is run in",
    "way": f"how it came there: {', '.join(Way)}",
    "n_edges": "edges that it has there",
    "share": "these as a fraction of the edges of that model's graph",
    "faithfulness": "fraction of the model's clean-corrupt gap that it keeps; empty if undefined",
    "ci_low": "lower end of its 95% interval over pairs",
    "ci_high": "upper end",
    "random_median": "median faithfulness of random connected circuits with as many edges, in the same model",
    "random_p95": "95th percentile of their faithfulness, rounded up to the value of one of them",
    "p_value": "share of these circuits at least as faithful, counting the circuit itself; empty if undefined",
    "renamed_median": "median faithfulness of the circuit with heads exchanged at random within their layers",
    "renamed_p95": "95th percentile of their faithfulness, rounded up to the value of one of them",
    "renamed_p_value": "share of these circuits at least as faithful, counting the circuit itself; empty if undefined",
    "unmatched": "share of the original circuit's score mass on edges that were left behind",
    "ambiguous": "share of it on edges of heads whose partner is not identifiable; empty where no match is used",
    "note": "why something is undefined, or why nothing is kept; empty otherwise",
}
"""Columns of `transfer_by_match`."""


@checked
def transfer_by_match(
    circuits: Mapping[str, Circuit],
    features: Mapping[str, HeadFeatures],
    models: Models,
    pairs: Pairs,
    *,
    match: Callable[[HeadFeatures, HeadFeatures], Match] = match_heads,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    n_random: int = 20,
    seed: int = 0,
    budget: int | None = None,
) -> pd.DataFrame:
    """Every circuit carried into every model each way, and each model's own circuit, one row each, with `COLUMNS`.

    Example:
        >>> circuits, models = {"large": circuit, "small": smaller_circuit}, [("large", model), ("small", smaller)]
        >>> heads = {"large": features, "small": smaller_features}
        >>> ask = lambda model: ability.sample(model, 16, seed=2)
        >>> ie.emergence.sameness.transfer_by_match(circuits, heads, models, ask, n_random=2)

    Args:
        circuits: by label of the model that each was found in. A model may have none, or an empty one; the others are
            still carried to it.
        features: what the heads of each model do, by its label.
        models: one model, labelled with its spec; or tuples of a label and a model, or a function that loads it. Loaded
            models are held in memory one at a time.
        pairs: prompt pairs that no circuit was found on, or a function that gives them for a model, such as
            `lambda model: ability.sample(model, 64, seed=2000)`.
        match: finds the partners of heads; for instance `match_heads` with other weights.
        metric: name of a metric.
        ablation: what edges outside the circuit carry.
        n_random: random circuits of each size, and renamings of each circuit, to compare with.
        seed: of both.
        budget: bytes that a batch of circuits may need; by default a constant for the kind of device.

    Raises:
        InputError: no circuit, no model, two models with one label, a model without features or with those of another
            graph, `n_random` below 1, or two models without a role in common.
        UnknownNameError: no metric or ablation has the name.
    """
    circuits = {label: circuit for label, circuit in circuits.items() if len(circuit)}
    if not circuits:
        raise InputError("no circuit with an edge was given; give at least one with the label of its model")
    if n_random < 1:
        raise InputError(f"n_random={n_random}: give at least one random circuit to compare with")
    for label, circuit in circuits.items():
        _require_features(label, circuit.graph, features, "its circuit")
    parts = []
    for label, model in each_model(models):
        _require_features(label, model.graph, features, str(model.spec))
        carried = [*_all_carried(label, model.graph, circuits, features, match)]
        runs = Runs(model, pairs_for(model, pairs), metric=metric, ablation=ablation, budget=budget)
        parts.append(_in_one_model(carried, runs, n_random, seed).assign(to=label))
        del runs, model
    return pd.concat(parts, ignore_index=True)[[*COLUMNS]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Carried:
    """A circuit in the edges of another model, and the shares of its score mass that were left behind or are unsure."""

    source: str
    way: Way
    kept: np.ndarray
    unmatched: float = 0.0
    ambiguous: float = 0.0

    @property
    def n_edges(self) -> int:
        return int(self.kept.sum())


def _require_features(label: str, graph: Graph, features: Mapping[str, HeadFeatures], what: str) -> None:
    if label not in features:
        raise InputError(f"no features were given for {label!r}; give head_features of that model")
    if features[label].graph != graph:
        raise InputError(f"the features given for {label!r} belong to a graph of another shape than {what}")


def _all_carried(
    label: str,
    graph: Graph,
    circuits: Mapping[str, Circuit],
    features: Mapping[str, HeadFeatures],
    match: Callable[[HeadFeatures, HeadFeatures], Match],
) -> Iterator[_Carried]:
    """The model's own circuit, empty if it has none, and every circuit carried over each way."""
    own = circuits[label].kept if label in circuits else np.zeros_like(graph.exists)
    yield _Carried(source=label, way=Way.OWN, kept=own)
    for source, circuit in circuits.items():
        found = match(features[source], features[label])
        yield _by_match(source, circuit, found)
        yield _by_roles(source, circuit, found)


def _by_match(source: str, circuit: Circuit, match: Match) -> _Carried:
    """The edges between the partners of the nodes of the circuit's edges."""
    mine, theirs = circuit.graph, match.b.graph
    images = match.edges[circuit.kept[mine.exists]]
    unsure = mine.is_one_of([head for head, _ in match.ambiguous])
    touched = (unsure[:, None] | (mine.owner @ unsure)[None])[mine.exists]
    return _Carried(
        source=source,
        way=Way.MATCHED_HEADS,
        kept=_edges(theirs, images[images >= 0]),
        unmatched=_share_of_mass(circuit, match.edges < 0),
        ambiguous=_share_of_mass(circuit, touched),
    )


def _by_roles(source: str, circuit: Circuit, match: Match) -> _Carried:
    """All edges of the circuit's classes, without edges of heads that have no role."""
    codes, theirs = class_codes(match)
    nameless = np.array([name == NO_ROLE for name in match.a.writer_classes])[:, None] | np.array(
        [name.startswith(NO_ROLE) for name in match.a.reader_classes]
    )
    named = ~nameless[circuit.graph.exists]
    wanted = codes[circuit.kept[circuit.graph.exists] & named]
    return _Carried(
        source=source,
        way=Way.ROLES,
        kept=_edges(match.b.graph, np.flatnonzero(np.isin(theirs, wanted))),
        unmatched=_share_of_mass(circuit, ~(named & np.isin(codes, theirs))),
        ambiguous=np.nan,
    )


def _edges(graph: Graph, numbers: np.ndarray) -> np.ndarray:
    """Edges given by their numbers, in the order of `np.nonzero(graph.exists)`, as a mask, shape [writer, reader]."""
    kept = np.zeros_like(graph.exists)
    kept[tuple(side[numbers] for side in np.nonzero(graph.exists))] = True
    return kept


def _share_of_mass(circuit: Circuit, where: np.ndarray) -> float:
    """Share of the circuit's score mass on the edges `where`, shape [edge]; without scores, of its number of edges."""
    kept = circuit.kept[circuit.graph.exists]
    mass = kept * np.abs(circuit.scores[circuit.graph.exists])
    mass = mass if mass.any() else kept.astype(float)
    return float(mass[where].sum() / mass.sum())


def _in_one_model(carried: list[_Carried], runs: Runs, n_random: int, seed: int) -> pd.DataFrame:
    """A row for each carried circuit, in the order given, without the column `to`."""
    graph = runs.model.graph
    rows = [
        {
            "from": one.source,
            "way": one.way,
            "n_edges": one.n_edges,
            "share": one.n_edges / graph.n_edges,
            "unmatched": one.unmatched,
            "ambiguous": one.ambiguous,
            "note": _note(one, runs),
        }
        for one in carried
    ]
    if runs.whole.defined:
        sizes = sorted({one.n_edges for one in carried})
        asked = chain(
            (one.kept for one in carried),
            (kept for one in carried for kept in _renamed(one.kept, graph, n_random, seed)),
            (kept for size in sizes for kept in random_connected_circuits(graph, size, n_random, seed=seed)),
        )
        n = len(carried)
        recovered = runs.metric_of(asked, n + (n + len(sizes)) * n_random) - runs.whole.corrupt
        nulls = (recovered[n:].mean(1) / runs.gap.mean()).reshape(-1, n_random)
        random = dict(zip(sizes, nulls[n:], strict=True))
        for row, one, kept, renamed in zip(rows, carried, recovered, nulls, strict=False):
            if one.way == Way.OWN and not one.n_edges:
                continue
            interval = runs.share_interval(kept)
            row |= interval.columns("faithfulness", "ci")
            row |= _compared(interval.value, random[one.n_edges], "random", "p_value")
            row |= _compared(interval.value, renamed, "renamed", "renamed_p_value")
    return pd.DataFrame(rows, columns=pd.Index([*COLUMNS]))


def _note(one: _Carried, runs: Runs) -> str:
    if why := runs.whole.why_undefined:
        return f"undefined: the clean-corrupt gap of {runs.whole.gap.value:.3g} {why}"
    if one.way == Way.OWN and not one.n_edges:
        return "undefined: the model has no circuit of its own"
    if not runs.model.graph.prune(one.kept).any():
        return "nothing is kept: no path from the embedding to the logits was carried over"
    return ""


def _compared(value: float, null: np.ndarray, name: str, p_name: str) -> dict[str, float]:
    """Median, 95th percentile and p-value of a null that a value is compared with, by column."""
    return {
        f"{name}_median": float(np.median(null)),
        f"{name}_p95": float(null_quantile(null)),
        p_name: rank_p(value, null, magnitude=1.0),
    }


def _renamed(kept: np.ndarray, graph: Graph, count: int, seed: int) -> Iterator[np.ndarray]:
    """The circuit with the heads of each layer exchanged at random. Heads that share a key and value still do.

    The exchanges depend on the graph and the seed alone, so equal circuits have equal nulls.
    """
    rng, group = np.random.default_rng(seed), graph.n_heads // graph.n_kv_heads
    for _ in range(count):
        shared = [rng.permutation(graph.n_kv_heads) for _ in range(graph.n_layers)]
        heads = [np.concatenate([at * group + rng.permutation(group) for at in order]) for order in shared]
        orders = {"head": heads, "q": heads, "k": shared, "v": shared}
        yield kept[np.ix_(*(_exchanged(nodes, orders) for nodes in (graph.writers, graph.readers)))]


def _exchanged(nodes: tuple[Node, ...], orders: Mapping[str, list[np.ndarray]]) -> np.ndarray:
    """For each node the index of the node that takes its place."""
    at = {node: index for index, node in enumerate(nodes)}
    return np.array([
        at[replace(node, index=int(orders[node.kind][node.layer][node.index]))] if node.kind in orders else at[node]
        for node in nodes
    ])  # fmt: skip
