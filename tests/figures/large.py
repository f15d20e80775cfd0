"""An invented circuit as large as that of a real model of 30 layers: 389 edges, few strong and most of them weak."""

import numpy as np
import pandas as pd


def circuit(n_edges: int = 389, *, layers: int = 30, heads: int = 9) -> pd.DataFrame:
    """Edges from the embedding through heads and MLPs of all layers to the logits, heavy-tailed in strength."""
    random = np.random.default_rng(0)
    edges: dict[tuple[str, str], float] = {}
    while len(edges) < n_edges:
        low, high = np.sort(random.integers(-1, layers + 1, size=2))
        if low == high:
            continue
        writer = "embed" if low < 0 else f"m{low}" if random.random() < 0.3 else f"a{low}.h{random.integers(heads)}"
        if high == layers:
            reader = "logits"
        elif random.random() < 0.35:
            reader = f"m{high}"
        else:
            kind = random.choice(["q", "k", "v"])
            reader = f"a{high}.h{random.integers(heads)}.q" if kind == "q" else f"a{high}.kv{random.integers(3)}.{kind}"
        edges[writer, reader] = float(random.standard_t(2) * 0.05)
    rows = [{"writer": writer, "reader": reader, "score": score} for (writer, reader), score in edges.items()]
    return pd.DataFrame(rows).assign(size="135m", step=1, seed=0, ability="indirect_object")
