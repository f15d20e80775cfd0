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

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction
from interp_emerge.caching.recording import record
from interp_emerge.circuits.roles.labels import p_values_beyond_rounding, without_rows
from interp_emerge.circuits.running.evaluation import Ablation, evaluate_many
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import Recorder
from interp_emerge.stats.intervals import mean_intervals
from interp_emerge.stats.significance import SIGNIFICANT, false_discovery


@checked
def backup_heads(
    model: HookedModel,
    ablated: Sequence[str],
    pairs: PromptPairs,
    *,
    metric: str | MetricFunction = "logit_diff",
    ablation: Ablation = "resample",
    budget: int | None = None,
    record: Recorder = record,
) -> pd.DataFrame:
    """One row for each head that is not ablated.

    Columns `node`, `layer`, `index`; `worth` (m(M) − m(M∖h)) and `worth_without` (m(M∖A) − m(M∖A∖h)), means over
    pairs; `interaction`, their difference, with `ci_low`, `ci_high`, `p_value`, `q_value`; `backs_up`, whether it is
    positive with q < 0.05.

    Args:
        model: what to run.
        ablated: names of the writers that are taken away: heads such as `a1.h0`, MLPs such as `m2`.
        pairs: clean and corrupt prompts.
        metric: name of a metric, or a callable from logits and pairs to one value a pair.
        ablation: what stands for dropped edges.
        budget: bytes that a batch of circuits may need; by default a constant for the kind of device.
        record: gets the activations of a run; by default runs the model.

    Raises:
        UnknownNameError: a node that the model lacks, or no such metric or ablation.
        InputError: nothing is ablated, or every head.
    """
    graph = model.graph
    ranks = {name: rank for rank, name in enumerate(graph.writer_names)}
    gone = [ablated] if isinstance(ablated, str) else [*ablated]
    for name in gone:
        if name not in ranks:
            raise UnknownNameError("node", name, ranks)
    heads = [head for head in graph.nodes(["head"]) if head.name not in gone]
    if not gone or not heads:
        given = "no node is" if not gone else "every head is"
        raise InputError(f"{given} ablated; name some nodes, and leave heads that could back them up")
    left = without_rows(graph.exists, [ranks[name] for name in gone])

    def values(circuits: list[np.ndarray]) -> np.ndarray:
        found = evaluate_many(model, circuits, pairs, metric=metric, ablation=ablation, budget=budget, record=record)
        return np.stack([evaluation.metric for evaluation in found], 1)

    whole = values([graph.exists, left])
    at_once = items_that_fit(8 * graph.exists.size, len(heads), device=model.device, budget=budget, what="one head")
    chunks = [heads[start : start + at_once] for start in range(0, len(heads), at_once)]
    worths = []
    for chunk in tqdm(chunks, desc="backup heads", delay=2, leave=False):
        rows = [ranks[head.name] for head in chunk]
        lacking = values([without_rows(edges, [row]) for edges in (graph.exists, left) for row in rows])
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
