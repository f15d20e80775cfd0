"""How often tests and verdicts see what is there, by earlier rules and those of today, where the earlier were right.

python analyses/test_calibration/measure.py power    # prints the table of docs/corrections.md, about a minute

The earlier rules are written again in `earlier.py`, in a few lines each, for this comparison alone. The tests of
circuits are in `power_of_circuits.py`.
"""

from collections.abc import Iterator

import numpy as np

from interp_emerge.circuits.running.faithfulness import why_undefined
from interp_emerge.emergence.scale import Criterion, find_onset
from interp_emerge.stats import mean_intervals, sign_flip_p_values
from promises.earlier import bootstrap_means, onset_verdict, saddlepoint, single_size

N = 1000
CURVES = (
    ("step at the last of 5 sizes", (0.5, 0.5, 0.5, 0.5, 0.97), "emergent", (64, 128, 256)),
    ("step at the third of 5", (0.5, 0.5, 0.97, 0.97, 0.97), "emergent", (64, 128, 256)),
    ("rise from 0.65 to 0.97", (0.65, 0.7, 0.8, 0.9, 0.97), "gradual", (128, 256, 512)),
    ("rise from 0.7 to 0.97", (0.7, 0.72, 0.8, 0.9, 0.97), "gradual", (128, 256, 512)),
    ("0.97 at all sizes", (0.97,) * 5, "from the start", (32, 64)),
)
"""Name, probabilities of success, the right word, and numbers of prompts."""
Row = tuple[str, str, float | np.floating, float | np.floating]
"""What is tested, the case, and the share of simulations that see it before and now."""


def main() -> None:
    print("| seen | case | before | now |\n|---|---|---|---|")
    for of in (sign_flips, means, gaps, words, sizes):
        for seen, case, before, now in of():
            print(f"| {seen} | {case} | {before:.2f} | {now:.2f} |", flush=True)


def sign_flips() -> Iterator[Row]:
    """Rejections at 0.05; the earlier approximation was good for magnitudes that are not nearly equal."""
    for n, mean in ((16, 0.5), (16, 0.8), (64, 0.25), (64, 0.4)):
        values = np.random.default_rng(n).normal(mean, 1, (n, N))
        yield (
            "sign-flip test: p at most 0.05",
            f"{n} pairs, normal, mean {mean:g} standard deviations",
            float(np.mean(saddlepoint(values) <= 0.05)),
            float(np.mean(sign_flip_p_values(values) <= 0.05)),
        )


def means() -> Iterator[Row]:
    """Intervals that lie above zero."""
    for n, mean in ((8, 0.8), (8, 1.2), (16, 0.8), (64, 0.4)):
        values = np.random.default_rng(n).normal(mean, 1, (n, N))
        before, now = (float(np.mean(low > 0)) for low in (bootstrap_means(values)[0], mean_intervals(values)[1]))
        case = f"{n} prompts, normal, mean {mean:g} standard deviations"
        yield "interval of a mean lies above 0", case, before, now


def gaps() -> Iterator[Row]:
    for n, mean in ((2, 2.0), (5, 2.0), (8, 1.5), (16, 1.0), (16, 1.5), (64, 0.5), (64, 1.0)):
        values = np.random.default_rng(n).normal(mean, 1, (n, N))
        before = float(np.mean(bootstrap_means(values)[0] > 0))
        now = float(np.mean([not why_undefined(column) for column in values.T]))
        case = f"{n} pairs, normal, gap of {mean:g} standard deviations"
        yield "gap is above zero", case, before, now


def words() -> Iterator[Row]:
    """The words for curves of two choices at five sizes."""
    for name, rates, word, numbers in CURVES:
        for n in numbers:
            rng, before, now = np.random.default_rng(n), 0, 0
            for _ in range(N):
                values = {at: [rng.binomial(1, rate, n).astype(float)] for at, rate in enumerate(rates)}
                before += onset_verdict([runs[0] for runs in values.values()], 0.5, 1.0) == word
                now += find_onset(values, Criterion(0.5, 1.0)).verdict == word
            yield f"onset is called {word}", f"{name}, two choices, {n} prompts each", before / N, now / N


def sizes() -> Iterator[Row]:
    """Onset intervals of one size for values without a tail, for which Student's test was right."""
    expected = np.linspace(-4, -0.5, 8)
    for n in (16, 64):
        rng, before, now = np.random.default_rng(n), 0, 0
        for _ in range(N):
            values = {at: [mean + rng.normal(0, 0.5, n)] for at, mean in enumerate(expected)}
            found = find_onset(values, Criterion(-4.0, 0.5))
            before += single_size([runs[0] for runs in values.values()], -1.75)
            now += found.ci_low is not None and found.ci_low == found.ci_high
        case = f"normal values, 0.5 nats, steps of 0.5 between 8 sizes, {n} prompts"
        yield "interval of an onset is one size", case, before / N, now / N
