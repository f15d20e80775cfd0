"""Score the nodes or edges of a model with a method by name."""

from interp_emerge.abilities._metrics import MetricFunction, bind_metric
from interp_emerge.abilities.base import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, NodeScores, PatchingTask, Recorder


def score(
    model: HookedModel,
    pairs: PromptPairs,
    *,
    method: str = "eap_ig",
    metric: str | MetricFunction = "logit_diff",
    steps: int = 5,
    seed: int = 0,
    budget: int | None = None,
    record: Recorder = record,
) -> NodeScores | EdgeScores:
    """The effect of every node or edge on a metric, positive toward the clean run.

    Args:
        model: what to analyse; it is left as it was, also after an error.
        pairs: clean and corrupt prompts.
        method: name of a patching method.
        metric: name of a metric, or a callable from logits after the prompt, shape [pair, d_vocab], and the pairs to
            one value a pair.
        steps: points of integration, for the methods that integrate.
        seed: for the methods that draw at random.
        budget: bytes that the method may use; by default a constant for the kind of device.
        record: gets the activations of a run; by default runs the model.

    Raises:
        UnknownNameError: no method or metric has the name.
        InputError: the pairs do not fit the model, or the metric returns the wrong shape or values that are not finite.
        ModelError: the architecture cannot be split into heads and edges.
    """
    chosen = shelf[method]
    for tokens in (pairs.clean, pairs.corrupt):
        model.require_tokens(tokens)
    bound = bind_metric(metric, model, pairs)
    task = PatchingTask(model=model, pairs=pairs, metric=bound, steps=steps, seed=seed, budget=budget, record=record)
    return chosen.run(task)
