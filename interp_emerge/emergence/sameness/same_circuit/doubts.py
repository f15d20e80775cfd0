"""How much of two circuits a match of heads leaves open: score mass without a partner, or with more than one candidate.

The parts of `emergence.sameness.similarity` and `emergence.sameness.same_circuit` that say what a match of heads cannot
tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import Match

MOST_RIVALS = 16
"""Other matches that are tried; each costs an assignment, and a comparison of edges for each split."""


@dataclass(frozen=True, kw_only=True)
class MatchDoubts:
    """Shares of two circuits' score mass that depend on the match; NaN for an empty circuit.

    `unmatched_a` lies on edges of a without an image in b's graph, `unmatched_b` on edges of b that are no image.
    `ambiguous_a` and `ambiguous_b` lie on edges of heads whose partner is not identifiable; `n_ambiguous` is how many
    heads of a another match would fit about as well.
    """

    unmatched_a: float
    unmatched_b: float
    ambiguous_a: float
    ambiguous_b: float
    n_ambiguous: int


def match_doubts(match: Match, mass_a: np.ndarray, mass_b: np.ndarray) -> MatchDoubts:
    """What a match leaves open of two circuits, given as score mass, shape [edge] each."""
    unsure = match.ambiguous
    return MatchDoubts(
        unmatched_a=_share(mass_a, match.edges < 0),
        unmatched_b=_share(mass_b, ~np.isin(np.arange(len(mass_b)), match.edges)),
        ambiguous_a=_share(mass_a, _touched(match.a.graph, [mine for mine, _ in unsure])),
        ambiguous_b=_share(mass_b, _touched(match.b.graph, [theirs for _, theirs in unsure])),
        n_ambiguous=len(unsure),
    )


def rival_matches(match: Match, mass_a: np.ndarray, mass_b: np.ndarray) -> list[Match]:
    """Matches that are about as good, and differ in heads of the circuits; at most 16, those of the most mass first.

    For each pair that is not identifiable the cheapest match without it, whatever else that changes. Changes that are
    possible at once are not combined.
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
    """Which edges some of these heads write or read, shape [edge]."""
    named = np.isin(np.array(graph.writer_names), heads)
    return (named[:, None] | (graph.owner @ named)[None])[graph.exists]


def _share(mass: np.ndarray, where: np.ndarray) -> float:
    return float(mass[where].sum() / mass.sum()) if mass.any() else np.nan
