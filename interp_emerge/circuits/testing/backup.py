"""Backup heads: heads that matter more once other nodes are ablated.

Source: Wang et al., 2022, https://arxiv.org/abs/2211.00593 (backup name movers); McGrath et al., 2023,
https://arxiv.org/abs/2307.15771 (self-repair). Let A be the ablated nodes, h another head, and M∖A the whole model
without the edges that A writes. For each pair, in the metric's unit,

    interaction = [m(M∖A) − m(M∖A∖h)] − [m(M) − m(M∖h)]

This is the effect of h without A minus its effect with A. Positive: h backs A up. Negative: h needs A, or h and A do
the same harm. A head that only reads what A wrote loses its effect with A, so a negative value is expected there, and a
head can be both a backup of A and downstream of A. If the metric is capped, as accuracy is, zero does not prove that
the two are independent.

A sign-flip test over pairs decides whether a head backs up, with false-discovery rates over all other heads (Benjamini
and Hochberg, 1995). Cost: 2 n_heads + 2 circuit runs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_emerge.circuits.roles.labels import p_values_beyond_rounding
from interp_emerge.circuits.running.runs import Runs
from interp_emerge.core.arguments import checked
from interp_emerge.core.axes import EdgeMask
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import without_writers
from interp_emerge.core.memory import items_that_fit
from interp_emerge.stats.intervals import mean_intervals
from interp_emerge.stats.significance import SIGNIFICANT, false_discovery


@checked
def backup_heads(runs: Runs, ablated: Sequence[str]) -> pd.DataFrame:
    """One row for each head that is not ablated.

    Columns `node`, `layer`, `index`; `worth`, the head's effect m(M) − m(M∖h), and `worth_without`, its effect without
    the ablated nodes m(M∖A) − m(M∖A∖h), both means over pairs; `interaction`, the second minus the first, with
    `ci_low`, `ci_high`, `p_value`, `q_value`; `backs_up`, whether the interaction is positive with q < 0.05.

    Example:
        >>> table = ie.circuits.testing.backup_heads(runs, ["a1.h1"])
        >>> table[["node", "backs_up"]].head()

    Args:
        runs: the model and the pairs.
        ablated: names of the ablated nodes: heads such as `a1.h0`, MLPs such as `m2`.

    Raises:
        UnknownNameError: the model has no node of this name.
        InputError: no node or every head is ablated.
    """
    graph = runs.model.graph
    ranks = {name: rank for rank, name in enumerate(graph.writer_names)}
    gone = [ablated] if isinstance(ablated, str) else [*ablated]
    for name in gone:
        if name not in ranks:
            raise UnknownNameError("node", name, ranks)
    heads = [head for head in graph.nodes(["head"]) if head.name not in gone]
    if not gone or not heads:
        given = "no node is" if not gone else "every head is"
        raise InputError(f"{given} ablated; name some nodes, and leave heads that could back them up")
    left = without_writers(graph.exists, [ranks[name] for name in gone])

    def values(circuits: list[EdgeMask]) -> np.ndarray:
        return np.stack([evaluation.metric for evaluation in runs.evaluations(circuits)], 1)

    all_heads = values([graph.exists, left])
    at_once = items_that_fit(
        8 * graph.exists.size, len(heads), device=runs.model.device, budget=runs.budget, what="one head"
    )
    chunks = [heads[start : start + at_once] for start in range(0, len(heads), at_once)]
    worths = []
    for chunk in tqdm(chunks, desc="backup heads", delay=2, leave=False):
        rows = [ranks[head.name] for head in chunk]
        lacking = values([without_writers(edges, [row]) for edges in (graph.exists, left) for row in rows])
        worths.append(all_heads[:, :, None] - lacking.reshape(len(lacking), 2, len(rows)))
    worth, worth_without = np.concatenate(worths, 2).transpose(1, 0, 2)
    mean, low, high = mean_intervals(worth_without - worth)
    p_values = p_values_beyond_rounding(worth_without - worth, scale=np.abs(all_heads).max())
    q_values = false_discovery(p_values)
    return pd.DataFrame(
        {
            "node": [head.name for head in heads],
            "layer": [head.layer for head in heads],
            "index": [head.index for head in heads],
            "worth": worth.mean(0),
            "worth_without": worth_without.mean(0),
            "interaction": mean,
            "ci_low": low,
            "ci_high": high,
            "p_value": p_values,
            "q_value": q_values,
            "backs_up": (mean > 0) & (q_values < SIGNIFICANT),
        }
    )
