"""Choose how many edges a circuit needs."""

from collections.abc import Sequence

from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.circuits.evaluation import evaluate_many
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import EdgeScores, Recorder

SHARES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)


def smallest_faithful(
    model: HookedModel,
    scores: EdgeScores,
    pairs: PromptPairs,
    *,
    target: float = 0.8,
    metric: str = "logit_diff",
    shares: Sequence[float] = SHARES,
    record: Recorder = record,
) -> Circuit:
    """The strongest edges, pruned, at the first share of the graph whose faithfulness reaches the target.

    If no share reaches it, the circuit of the largest share is returned: its evaluation says how far it falls short.
    Choose on other pairs than those that the circuit is judged on.
    """
    counts = sorted({max(1, round(share * scores.graph.n_edges)) for share in shares})
    circuits = [scores.top(count) for count in counts]
    evaluations = evaluate_many(model, [circuit.kept for circuit in circuits], pairs, metric=metric, record=record)
    for circuit, evaluation in zip(circuits, evaluations, strict=True):
        if evaluation.defined and evaluation.faithfulness >= target:
            return circuit
    return circuits[-1]
