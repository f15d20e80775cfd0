"""Answers of `same_circuit` for models whose heads stand in another order, through the match of their heads.

python analyses/test_calibration/measure.py matched_heads    # prints a row for each noise, a minute

Both models have the same mean scores but for the names of the heads. Heads are matched by what they do: each has random
strengths in three roles. Without the match such circuits are different, which the page of validity counts.
"""

from collections import Counter

import numpy as np

from interp_emerge.emergence.sameness import HeadFeatures, SameCircuitVerdict, match_heads, same_circuit
from interp_emerge.stats import success_interval
from promises.same_circuit import EDGES, GRAPH, RESAMPLES, exchanged_heads, means, scores

N, ROLES = 200, ("previous_token", "duplicate_token", "induction")


def main() -> None:
    print("| noise | pairs | " + " | ".join(SameCircuitVerdict) + " |\n|---|---|---|---|---|")
    for noise, pairs in (("quiet", 64), ("even", 64)):
        seen = Counter(answer(noise, pairs, np.random.default_rng([pairs, at])) for at in range(N))
        shares = (f"{success_interval(seen[verdict], N):.3f}" for verdict in SameCircuitVerdict)
        print(f"| {noise} | {pairs} | {' | '.join(shares)} |", flush=True)


def answer(noise: str, pairs: int, rng: np.random.Generator) -> SameCircuitVerdict:
    mean, strength = means(rng), rng.random((GRAPH.n_layers, GRAPH.n_heads, len(ROLES)))
    features = (
        HeadFeatures(graph=GRAPH, roles=ROLES, strength=one.reshape(-1, len(ROLES)))
        for one in (strength, np.roll(strength, 1, axis=1))
    )
    a, b = scores(rng, mean, noise, pairs), scores(rng, exchanged_heads(mean), noise, pairs)
    options = {"test": "halves", "resamples": RESAMPLES}
    return same_circuit(a, b, EDGES, match=match_heads(*features), **options).verdict
