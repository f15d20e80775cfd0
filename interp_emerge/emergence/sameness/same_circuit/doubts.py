"""How much of two circuits depends on the match of heads: score mass without a partner, or with several candidates.

`emergence.sameness.similarity` and `emergence.sameness.same_circuit` report these shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import Match

MOST_RIVALS = 16
"""Largest number of other matches tried. Each costs an assignment, and a comparison of edges for each split."""


@dataclass(frozen=True, kw_only=True)
class MatchDoubts:
    """Shares of two circuits' score mass that depend on the match; NaN for an empty circuit.

    `unmatched_a` is the share on edges of a without an image in b's graph, `unmatched_b` that on edges of b which no
    edge of a goes to. `ambiguous_a` and `ambiguous_b` are the shares on edges of heads whose partner is not
    identifiable. `n_ambiguous` is the number of these heads in a.
    """

    unmatched_a: float
    unmatched_b: float
    ambiguous_a: float
    ambiguous_b: float
    n_ambiguous: int


def match_doubts(match: Match, mass_a: np.ndarray, mass_b: np.ndarray) -> MatchDoubts:
    """Shares of two circuits that depend on the match. The circuits are given by score mass, shape [edge] each."""
    unsure = match.ambiguous
    return MatchDoubts(
        unmatched_a=_share(mass_a, match.edges < 0),
        unmatched_b=_share(mass_b, ~np.isin(np.arange(len(mass_b)), match.edges)),
        ambiguous_a=_share(mass_a, _touched(match.a.graph, [mine for mine, _ in unsure])),
        ambiguous_b=_share(mass_b, _touched(match.b.graph, [theirs for _, theirs in unsure])),
        n_ambiguous=len(unsure),
    )


def rival_matches(match: Match, mass_a: np.ndarray, mass_b: np.ndarray) -> list[Match]:
    """At most 16 matches that are about as good and differ in heads of the circuits, in descending order of mass.

    For each pair that is not identifiable this is the cheapest match without that pair, which may change other pairs as
    well. Several such changes are not combined in one match.
    """
    weights = [
        mass_a[_touched(match.a.graph, [mine])].sum() + mass_b[_touched(match.b.graph, [theirs])].sum()
        for mine, theirs in match.ambiguous
    ]
    found: dict[bytes, Match] = {}
    for at in np.argsort(-np.array(weights), kind="stable"):
        if weights[at] > 0 and len(found) < MOST_RIVALS:
            rival = match.without(match.ambiguous[at])
            found.setdefault(rival.partner.tobytes(), rival)
    return list(found.values())


def _touched(graph: Graph, heads: Sequence[str]) -> np.ndarray:
    """Whether one of these heads writes or reads an edge, shape [edge]."""
    named = np.isin(np.array(graph.writer_names), heads)
    return (named[:, None] | (graph.owner @ named)[None])[graph.exists]


def _share(mass: np.ndarray, where: np.ndarray) -> float:
    return float(mass[where].sum() / mass.sum()) if mass.any() else np.nan
