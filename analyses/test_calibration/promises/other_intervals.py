"""How often other 95% intervals of a mean would contain it, and how wide they are, compared with that of `stats`.

python analyses/test_calibration/measure.py other_intervals    # prints the table of docs/calibration.md, in two minutes

Each row has the share of 4000 simulations in which the interval contains the true mean, for each kind of values, and
its mean width divided by that of `stats.mean_intervals` on the same values.
"""

import numpy as np

from promises.interval_methods import METHODS
from promises.intervals import SHARE, VALUES

N, N_VALUES = 4000, (8, 16, 64)
WIDTHS = ("normal", "log-normal")
"""Kinds of values whose widths are printed."""


def main() -> None:
    kinds = {kind: found for kind, found in VALUES.items() if not kind.startswith(SHARE)}
    print(f"| values | interval | {' | '.join(kinds)} | width, normal | width, log-normal |")
    print("|---" * (len(kinds) + 4) + "|")
    for n in N_VALUES:
        drawn = {kind: draw(np.random.default_rng([n, 5]), (n, N)) for kind, (draw, _) in kinds.items()}
        usual = {}
        for name, method in METHODS.items():
            ends = {kind: method(values) for kind, values in drawn.items()}
            usual = usual or ends
            held = [np.mean((low <= kinds[kind][1]) & (kinds[kind][1] <= high)) for kind, (low, high) in ends.items()]
            widths = [np.subtract(*ends[kind]).mean() / np.subtract(*usual[kind]).mean() for kind in WIDTHS]
            cells = [*(f"{share:.3f}" for share in held), *(f"{width:.2f}" for width in widths)]
            print(f"| {n} | {name} | {' | '.join(cells)} |", flush=True)
