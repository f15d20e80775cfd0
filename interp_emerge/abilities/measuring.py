"""Measure what a model can do: metrics of its abilities on every prompt pair, and its loss on held-out text."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.following import following
from interp_emerge.abilities.metrics import metrics_of_clean
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.arguments import checked
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.stats.intervals import mean_interval

MEASURED = ("accuracy", "log_prob", "logit_diff", "prob", "choice_prob", "brier")
"""Names of the metrics to measure: accuracy has a threshold, the others are continuous. All use the same logits."""
PASSAGE_TOKENS = 48
"""Largest number of tokens of a passage that are predicted."""
Sampler = Callable[[Ability, HookedModel, int, int], PromptPairs]
"""A function that returns prompt pairs, given an ability, a model, the number of pairs and a seed."""


@checked
@torch.no_grad()
def measure(
    model: HookedModel,
    abilities: Sequence[Ability],
    *,
    n: int = 128,
    seed: int = 0,
    sample: Sampler | None = None,
    both: bool = False,
) -> pd.DataFrame:
    """Metrics of each ability on each of `n` clean prompts. `sample` draws the prompts, by default `Ability.sample`.

    With `both`, the corrupted prompts are read too, for `corrupt_accuracy` and `gap` (`abilities.following`): a model
    can answer clean prompts without using what differs between the two, and `not_followed` says so.

    Example:
        >>> ie.abilities.measure(model, [ability], n=16, both=True)[["metric", "value"]]

    Returns:
        Columns `ability`, `metric`, `pair`, `value`.
    """
    parts = []
    for ability in abilities:
        pairs = ability.sample(model, n, seed) if sample is None else sample(ability, model, n, seed)
        found = metrics_of_clean(model, pairs, MEASURED)
        if both:
            found |= following(model, pairs, found["logit_diff"])
        for metric, values in found.items():
            parts.append(
                pd.DataFrame(
                    {"ability": ability.name, "metric": metric, "pair": np.arange(len(pairs)), "value": values}
                )
            )
    return pd.concat(parts, ignore_index=True)


@checked
@torch.no_grad()
def held_out_loss(model: HookedModel, passages: Sequence[str]) -> float:
    """Mean next-token loss on passages, nats per token; NaN if the model's tokenizer cannot encode them.

    Passages are cut so that at most `PASSAGE_TOKENS` tokens of each are predicted.

    Example:
        >>> ie.abilities.held_out_loss(model, ["When Mary and John met at the park"])
    """
    try:
        rows = [(model.bos + model.encode(passage))[: PASSAGE_TOKENS + 1] for passage in passages]
    except InputError:
        return float("nan")
    total, count = 0.0, 0
    for length in sorted({len(row) for row in rows}):
        tokens = torch.tensor([row for row in rows if len(row) == length], device=model.device)
        for some, logits in model.logits_in_chunks(tokens, last=None):
            following = tokens[some, 1:]
            total += float(cross_entropy(logits[:, :-1].float().flatten(0, 1), following.flatten(), reduction="sum"))
            count += following.numel()
    return total / count if count else float("nan")


def summarise(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean over pairs with its 95% interval, for every ability and metric.

    Returns:
        Columns `ability`, `metric`, `value`, `ci_low`, `ci_high`, `n_pairs`.
    """
    rows = []
    for (ability, metric), values in measured.groupby(["ability", "metric"], sort=False)["value"]:
        interval = mean_interval(values.to_numpy(), share=metric in ("accuracy", "corrupt_accuracy"))
        rows.append((ability, metric, interval.value, interval.low, interval.high, len(values)))
    return pd.DataFrame(rows, columns=["ability", "metric", "value", "ci_low", "ci_high", "n_pairs"])
