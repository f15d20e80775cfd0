"""The two highest levels of the page of validity again, with new random circuits for every 250 simulations.

python analyses/test_calibration/measure.py levels_over_pools    # prints two rates, three processor minutes

The promise ranks all circuits of a case among draws of one pool of random circuits, so the error of that pool is in all
of them. Here each of 16 pools has 250 circuits of its own.
"""

import numpy as np

import interp_emerge as ie
from interp_emerge.circuits.finding.null_circuits import ALWAYS, null_circuits
from interp_emerge.circuits.testing.random_ranks import rank_among
from interp_emerge.stats import success_interval
from promises.null_circuits import N_EDGES, N_RANDOM, cases_of_noise, models, sized_circuit, values_of_test

POOLS, EACH, POOL = 16, 250, 1000
CASES = (
    ("2 layers of 4 heads", "partial necessity", 1, "random edges"),
    ("4 layers of 8 heads", "sufficiency", -1, "strongest edges of noise"),
)


def main() -> None:
    for name, test, sign, noise in CASES:
        model, pairs = models()[name]
        graph, runs, rejected = model.graph, ie.Runs(model, pairs), 0
        draw, values_of = cases_of_noise(graph)[noise], values_of_test[test]
        clean = runs.evaluations([graph.exists])[0].clean
        for at in range(POOLS):
            rng = np.random.default_rng([77, at])
            sized = sized_circuit(graph, rng)
            null = {kind: values_of(runs, null_circuits(sized, kind, POOL, seed=1000 + at), clean) for kind in ALWAYS}
            for found in values_of(runs, [draw(graph, N_EDGES, rng) for _ in range(EACH)], clean):
                drawn = {kind: rng.choice(null[kind], N_RANDOM, replace=False).tolist() for kind in ALWAYS}
                outcome = rank_among(test, found, drawn, np.array, sign=sign, quantile=0.9, alpha=0.05)
                rejected += outcome.p_value <= 0.05
        print(f"{test}, {noise}, {name}: {success_interval(rejected, POOLS * EACH):.4f} of {POOLS * EACH}")
