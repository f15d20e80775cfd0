"""Roles that are causal effects on prompt pairs.

* `s_inhibition` (Wang et al., 2022, https://arxiv.org/abs/2211.00593): rise of the metric when the queries of the name
  movers, and nothing else, take the head's clean term in the corrupt run. Path patching with MLPs between computed
  again. In the metric's unit, positive toward the clean run. NaN for heads that do not run before a name mover.
* `function_vector` (Todd et al., 2023, https://arxiv.org/abs/2310.15213: average indirect effect): rise of the
  answer's probability when the head's output at the last position of the corrupt prompts is replaced with its mean over
  the clean prompts. In the paper corrupt prompts are in-context examples with shuffled labels; any pairs are taken.

Cost: two recorded runs, and for each head part of a forward pass.
"""

from collections.abc import Sequence

import numpy as np

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.abilities.metrics import MetricFunction, bind_metric
from interp_emerge.caching.recording import record
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import stand_ins
from interp_emerge.patching.activation_patching import patched_rises
from interp_emerge.patching.base import NodeScores, PatchingTask, Recorder
from interp_emerge.patching.engines.options import AtPositions
from interp_emerge.patching.scoring import score


def s_inhibition(
    model: HookedModel,
    pairs: PromptPairs,
    name_movers: Sequence[str],
    *,
    metric: str | MetricFunction = "logit_diff",
    record: Recorder = record,
) -> np.ndarray:
    """The effect of each head through the name movers' queries, shape [pair, head], heads layer by layer.

    Raises:
        UnknownNameError: a name mover that the model lacks.
        InputError: no head runs before a name mover.
    """
    heads = model.graph.nodes(["head"])
    by_name = {head.name: head for head in heads}
    for name in name_movers:
        if name not in by_name:
            raise UnknownNameError("head", name, by_name)
    last = max(by_name[name].layer for name in name_movers)
    senders = [head.name for head in heads if head.layer < last]
    if not senders:
        raise InputError(f"no head runs before {', '.join(name_movers)}, so none writes into their queries")
    found = score(
        model,
        pairs,
        method="path_patching",
        metric=metric,
        record=record,
        receivers=[f"{name}.q" for name in name_movers],
        senders=senders,
        mlps="live",
    )
    assert isinstance(found, NodeScores)
    values = np.full((len(pairs), len(heads)), np.nan)
    values[:, : len(senders)] = found.per_pair
    return values


def function_vector(model: HookedModel, pairs: PromptPairs, *, record: Recorder = record) -> np.ndarray:
    """Rise of the answer's probability for each head, shape [pair, head], heads layer by layer."""
    with model.running():
        last = AtPositions(positions=(str(pairs.length - 1),))
        bound = bind_metric("prob", model, pairs)
        task = PatchingTask(model=model, pairs=pairs, metric=bound, options=last, record=record)
        source = stand_ins(task.clean, "mean_by_position")
        rises = patched_rises(task, model.graph.nodes(["head"]), task.corrupt, source, "function vectors")
    return rises[:, 0].T.cpu().double().numpy()
