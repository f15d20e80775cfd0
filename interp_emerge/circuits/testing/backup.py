"""Backup heads: heads that matter more once others are gone.

Source: Wang et al., 2022, https://arxiv.org/abs/2211.00593 (backup name movers); McGrath et al., 2023,
https://arxiv.org/abs/2307.15771 (self-repair). For ablated nodes A and each other head h, pair by pair, in the metric's
unit,

    interaction = [m(M∖A) − m(M∖A∖h)] − [m(M) − m(M∖h)]

what h is worth without A, less what it is worth with A. M∖A is the whole model without the edges that A writes.
Positive: h backs A up. Negative: h needs A, or the two do the same harm. Heads that only read what A wrote lose their
worth with it, so a negative value is no news, and a head may be a backup and downstream at once. Zero is no proof of
independence where the metric is capped, as accuracy is.

Whether a head backs up is a sign-flip test over pairs, with false-discovery rates over the other heads (Benjamini and
Hochberg, 1995). Cost: 2 n_heads + 2 circuit runs.
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

    Columns `node`, `layer`, `index`; `worth` (m(M) − m(M∖h)) and `worth_without` (m(M∖A) − m(M∖A∖h)), means over
    pairs; `interaction`, their difference, with `ci_low`, `ci_high`, `p_value`, `q_value`; `backs_up`, whether it is
    positive with q < 0.05.

    Args:
        runs: what to run on.
        ablated: names of the writers that are taken away: heads such as `a1.h0`, MLPs such as `m2`.

    Raises:
        UnknownNameError: a node that the model lacks.
        InputError: nothing is ablated, or every head.
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

    whole = values([graph.exists, left])
    at_once = items_that_fit(
        8 * graph.exists.size, len(heads), device=runs.model.device, budget=runs.budget, what="one head"
    )
    chunks = [heads[start : start + at_once] for start in range(0, len(heads), at_once)]
    worths = []
    for chunk in tqdm(chunks, desc="backup heads", delay=2, leave=False):
        rows = [ranks[head.name] for head in chunk]
        lacking = values([without_writers(edges, [row]) for edges in (graph.exists, left) for row in rows])
        worths.append(whole[:, :, None] - lacking.reshape(len(lacking), 2, len(rows)))
    worth, worth_without = np.concatenate(worths, 2).transpose(1, 0, 2)
    mean, low, high = mean_intervals(worth_without - worth)
    p_values = p_values_beyond_rounding(worth_without - worth, scale=np.abs(whole).max())
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
