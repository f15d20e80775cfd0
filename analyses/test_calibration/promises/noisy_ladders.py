"""Verdicts on jumps where prompts are noisier, or several training runs agree: which come, and how many are wrong.

python analyses/test_calibration/measure.py noisy_ladders    # prints the table of docs/calibration.md, in two minutes

The curves are those of the promises (`promises/jumps.py`), at 7 points with 128 prompts. Noise is the standard
deviation of the log-probability over prompts, in nats. Runs have the same expected curve and prompts of their own.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from interp_emerge.emergence.scale import MirageVerdict, mirage_check
from promises.jumps import CASES, FEW, Case, of_values

N, POINTS, PROMPTS = 100, 7, 128
NAMES = (
    "power law, exponent 0.5, p from 0.018, 5 tokens",
    "log-probability linear, best of two",
    "jump in the middle",
    "jump on a slope",
    "hockey stick from 0.5 on",
    "dip, then a rise from 0.5 on",
    "p saturates",
    "p linear",
)


def main() -> None:
    print("| curve | noise | runs | wrong | " + " | ".join(MirageVerdict) + " |\n" + "|---" * 8 + "|")
    for case in (case for case in CASES if case.name in NAMES):
        for noise in (0.1, 1.0):
            for runs in (1, 3):
                rng = np.random.default_rng(runs)
                seen = Counter(verdict(replace(case, noise=noise), runs, rng) for _ in range(N))
                wrong = sum(seen[one] for one in case.wrong) / N
                shares = " | ".join(f"{seen[one] / N:.2f}" for one in MirageVerdict)
                print(f"| {case.name} | {noise:g} | {runs} | {wrong:.2f} | {shares} |", flush=True)


def verdict(case: Case, runs: int, rng: np.random.Generator) -> MirageVerdict:
    ladders = [case.ladder(POINTS, PROMPTS, rng) for _ in range(runs)]
    together = of_values([[ladder.values[at][0] for ladder in ladders] for at in range(POINTS)])
    return mirage_check(together, resamples=FEW).verdict
