"""How far two interventions agree on the layers that carry a variable."""

import numpy as np
import pandas as pd

from interp_emerge.stats import spearman

DRAWS, WIDTH = 1000, 2 * 1.96


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """Rank correlation of two effects over the layers of both, and its 95% interval under their errors over prompts."""
    both, rng = one.join(other, how="inner", rsuffix="_other"), np.random.default_rng(0)
    ends = [both[[f"beyond_placebo{end}{of}" for end in ("", "_low", "_high")]].to_numpy() for of in ("", "_other")]
    drawn = [
        np.vstack([of[:, 0], rng.normal(of[:, 0], (of[:, 2] - of[:, 1]) / WIDTH, (DRAWS, len(of)))]) for of in ends
    ]
    found = spearman(*drawn)
    return f"{found[0]:.2f} [{', '.join(f'{end:.2f}' for end in np.quantile(found[1:], (0.025, 0.975)))}]"


def layers(rows: pd.DataFrame) -> str:
    """The layers of these rows, in words."""
    return f"layers {' '.join(map(str, sorted(rows['layer'])))}" if len(rows) else "no layer"
