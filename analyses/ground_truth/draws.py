"""How well each method's ranking finds the known circuit of each construction of `handset`, over draws of the pairs.

python analyses/ground_truth/draws.py          # prints the table
python analyses/ground_truth/draws.py --keep   # and draws figure.svg
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

import interp_emerge as ie

METHODS = (
    *("acdc", "clean_corrupted", "eap", "eap_ig", "eap_ig_activations", "exact_edges"),
    *("ablation", "activation_patching", "atp_star", "attribution_patching", "path_patching", "random"),
)
DRAWS, RANDOM_DRAWS = 5, 100
"""Number of draws of the pairs for each method, and of random orders of the edges for `random`."""


def main(*, keep: bool) -> None:
    """Print median, lowest and highest AUROC over draws, for edges and for nodes, and the share of draws with 1."""
    areas = pd.DataFrame(row for name in ie.load_family("handset").sizes for row in areas_of(name))
    each = areas.groupby(["construction", "method", "ranked"], sort=False)["auroc"]
    table = each.agg(
        median="median", lowest="min", highest="max", draws="size", perfect=lambda area: (area == 1).mean()
    ).reset_index()
    print(table.round(3).to_string(index=False))
    if keep:
        about = {"value": "median", "ends": ("lowest", "highest"), "colour": "ranked", "panel": "construction"}
        chart = ie.figures.interval_dots(table, thing="method", title="AUROC (probability)", mark=0.5, **about)
        chart.save(Path(__file__).with_name("figure.svg"))


def areas_of(name: str) -> list[dict]:
    """One row for each method, draw and level (edges or nodes); methods that score nodes do not rank edges."""
    rows = []
    drawn = [ie.circuits.ground_truth(name, seed=seed) for seed in range(DRAWS)]
    for method in tqdm(METHODS, desc=name, delay=2, leave=False):
        for seed in range(RANDOM_DRAWS if method == "random" else DRAWS):
            truth = drawn[seed % DRAWS]
            drawn_by: dict[str, Any] = {"seed": seed} if method == "random" else {}
            scores = ie.score(truth.model, truth.pairs, method=method, **drawn_by)
            about = {"construction": name, "method": method}
            if isinstance(scores, ie.EdgeScores):
                rows.append({**about, "ranked": "edges", "auroc": ie.circuits.auroc(scores, truth.circuit)})
            rows.append({**about, "ranked": "nodes", "auroc": ie.circuits.auroc(scores, truth.circuit, level="nodes")})
    return rows


if __name__ == "__main__":
    main(keep="--keep" in sys.argv[1:])
