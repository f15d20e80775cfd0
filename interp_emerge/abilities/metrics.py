"""Metrics: one number for each pair, computed from the logits after the prompt.

A higher value favours the clean answer more. The exception is `kl`: a higher value is closer to the whole model.
If answers have several tokens, the logits decide about the first token at which answer and foil differ.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import log_softmax

from interp_emerge.abilities.own.sequences import OF_WHOLE, whole_answers
from interp_emerge.abilities.pairs import PromptPairs, require_pairs
from interp_emerge.core.axes import AtTokens, Logits, PerPair
from interp_emerge.core.errors import InputError, require_kind
from interp_emerge.core.memory import BYTES_A_FLOAT, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.core.record import Record
from interp_emerge.core.registry import Registry

MetricFunction = Callable[[Tensor, PromptPairs], Tensor]
"""A function of the logits after the prompt, shape [pair, d_vocab], and the pairs; returns values of shape [pair]."""


def logit_diff(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Logit of the answer minus logit of the foil, nats.

    The logits of several answers are combined as the logarithm of the sum of their exponentials, and those of several
    foils likewise. The result is then the log-odds of any answer against any foil.
    """
    return _log_sum_exp(logits, pairs.answers) - _log_sum_exp(logits, pairs.foils)


def prob_diff(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Probability of the answers minus probability of the foils."""
    probabilities = logits.softmax(-1)
    return _sum_at_tokens(probabilities, pairs.answers) - _sum_at_tokens(probabilities, pairs.foils)


def log_prob(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Log-probability that the next token is an answer, nats."""
    return _log_sum_exp(log_softmax(logits, -1), pairs.answers)


def prob(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Probability that the next token is an answer."""
    return _sum_at_tokens(logits.softmax(-1), pairs.answers)


def choice_prob(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Probability of the answers if only answers and foils can be chosen."""
    return torch.sigmoid(logit_diff(logits, pairs))


def accuracy(logits: Logits, pairs: PromptPairs) -> PerPair:
    """1 if an answer has the highest logit of all tokens, else 0. It has no gradient."""
    return (logits.argmax(-1, keepdim=True) == pairs.answers.to(logits.device)).any(-1).to(logits.dtype)


def brier(logits: Logits, pairs: PromptPairs) -> PerPair:
    """Minus (1 − `choice_prob`)²: the negated Brier score of answer against foil; higher is better, from −1 to 0.

    Brier, 1950. A model that guesses between the two has −0.25.
    """
    return -((1 - torch.sigmoid(logit_diff(logits, pairs))) ** 2)


@dataclass(frozen=True, kw_only=True)
class Metric(Record):
    """A metric: its name, one line that describes it, and its function of the logits after the prompt."""

    name: str
    summary: str
    function: MetricFunction | None
    """None if the metric compares a run with the whole model's run: see `KL`."""

    def __call__(self, logits: Logits, pairs: PromptPairs) -> PerPair:
        """One value for each pair, shape [pair]. Only for a metric that has a `function`."""
        assert self.function is not None
        return self.function(logits, pairs)


METRICS: Registry[Metric] = Registry("metric")
for _function in (logit_diff, prob_diff, log_prob, prob, choice_prob, accuracy, brier):
    METRICS.add(Metric(name=_function.__name__, summary=str(_function.__doc__).splitlines()[0], function=_function))
KL = METRICS.add(
    Metric(
        name="kl",
        summary="Minus the Kullback-Leibler divergence KL(p || q) in nats; p is the next-token distribution of the "
        "whole model after the clean prompt, q that of the run.",
        function=None,
    )
)
FROM_LOGITS = tuple(metric.name for metric in METRICS if metric.function is not None)
"""Names of the metrics that need the logits of one run only."""
TABLE_SHARE = 4
"""The log-probabilities of all pairs may use 1 / `TABLE_SHARE` of the memory budget; the run uses the rest."""


def bytes_of_reading(model: HookedModel) -> int:
    """Bytes that a metric needs for one pair, enough for `kl`: two distributions and intermediate values."""
    return 6 * BYTES_A_FLOAT * model.d_vocab


class CleanLogProbs:
    """Log-probabilities of every token after the clean prompts of some pairs, computed when they are needed.

    The last chunk is kept, because a metric is computed on the same chunk of pairs many times in a row.
    """

    def __init__(self, make: Callable[[slice], Tensor], rows: range) -> None:
        self._make, self._rows = make, rows
        self._kept: dict[tuple[int, int], Tensor] = {}

    def __getitem__(self, rows: slice) -> "CleanLogProbs":
        """The log-probabilities of some of the pairs."""
        part = CleanLogProbs(self._make, self._rows[rows])
        part._kept = self._kept
        return part

    def table(self) -> Logits:
        """The log-probabilities, shape [pair, d_vocab]."""
        key = self._rows.start, self._rows.stop
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = self._make(slice(*key))
        return self._kept[key]


def clean_log_probs(
    make: Callable[[slice], Tensor], n: int, model: HookedModel, *, budget: int | None = None
) -> Tensor | CleanLogProbs:
    """Log-probabilities of every token after `n` clean prompts: a table if it is small, else computed when needed.

    Args:
        make: function from a slice of the prompts to their log-probabilities, shape [pair, d_vocab].
        n: number of prompts.
        model: its vocabulary sets the size of the table, its device the default budget.
        budget: bytes of memory that may be used, by default a constant for the kind of device. A table is small if it
            takes at most a quarter of the budget.
    """
    each = TABLE_SHARE * BYTES_A_FLOAT * model.d_vocab
    small = items_that_fit(each, n, device=model.device, budget=budget, what="one prompt's log-probabilities") >= n
    return make(slice(0, n)) if small else CleanLogProbs(make, range(n))


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundMetric:
    """A metric together with the pairs on which it is computed."""

    name: str
    function: MetricFunction | None
    pairs: PromptPairs
    clean_log_probs: Tensor | CleanLogProbs | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """One value for each pair, shape [..., pair], from logits of shape [..., pair, d_vocab].

        Raises:
            InputError: the metric returned another shape, or a value that is not finite.
        """
        if logits.ndim > 2:
            return torch.stack([self(part) for part in logits])
        logits = logits.float()
        if self.clean_log_probs is not None:
            known = self.clean_log_probs
            target = (known if isinstance(known, Tensor) else known.table()).to(logits.device)
            values = -(target.exp() * (target - log_softmax(logits, -1))).sum(-1)
        else:
            assert self.function is not None
            values = self.function(logits, self.pairs)
        if not isinstance(values, Tensor) or values.shape != (len(self.pairs),):
            shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InputError(f"metric {self.name!r} returned {shape}; it has to return one value for each of the "
                             f"{len(self.pairs)} pairs passed to it, which may be only some of all pairs")  # fmt: skip
        if not values.is_floating_point():
            values = values.float()
        if not torch.isfinite(values).all():
            raise InputError(f"metric {self.name!r} is not finite on {int((~torch.isfinite(values)).sum())} of "
                             f"{len(self.pairs)} pairs")  # fmt: skip
        return values

    def reading(self) -> "tuple[Tensor | None, BoundMetric]":
        """The tokens whose logits the metric needs, shape [pair, token], and the metric as a function of these logits.

        If the metric needs the logits of all tokens, returns None and the metric itself.
        """
        if self.function not in (logit_diff, choice_prob, brier):
            return None, self
        answers, foils = self.pairs.answers, self.pairs.foils
        read = torch.cat([answers, foils], 1)
        # A pair with fewer tokens than others gets copies of its first token. They do not count: `places` is -1 there.
        first = torch.cat([answers[:, :1].expand_as(answers), foils[:, :1].expand_as(foils)], 1)
        places = torch.where(read >= 0, torch.arange(read.shape[1]), -1)
        n = answers.shape[1]
        named = {"continuation": None, "positions": None, "variables": None, "completions": None}
        pairs = replace(self.pairs, answer=places[:, :n], foil=places[:, n:], **named)
        return torch.where(read >= 0, read, first), BoundMetric(name=self.name, function=self.function, pairs=pairs)

    def __getitem__(self, rows: slice | Tensor) -> "BoundMetric":
        """The same metric on some of the pairs."""
        known = self.clean_log_probs
        if isinstance(known, CleanLogProbs):
            reference = known[rows] if isinstance(rows, slice) else known.table()[rows.to(known.table().device)]
        else:
            reference = None if known is None else known[rows]
        return BoundMetric(name=self.name, function=self.function, pairs=self.pairs[rows], clean_log_probs=reference)


def bind_metric(
    metric: str | MetricFunction, model: HookedModel, pairs: PromptPairs, *, budget: int | None = None
) -> BoundMetric:
    """The metric bound to these pairs. `metric` is a name or a function of logits and pairs.

    Raises:
        UnknownNameError: no metric has the name.
        InputError: the pairs do not fit the model, or the metric is neither a name nor a function of two arguments.
    """
    require_metric(metric)
    require_pairs(model, pairs)
    if callable(metric):
        return BoundMetric(name=getattr(metric, "__name__", "custom"), function=metric, pairs=pairs)
    if metric == KL.name:

        @torch.no_grad()
        def make(rows: slice) -> Tensor:
            return log_softmax(model.logits(pairs.clean[rows], budget=budget).float(), -1)

        reference = clean_log_probs(make, len(pairs), model, budget=budget)
        return BoundMetric(name=KL.name, function=None, pairs=pairs, clean_log_probs=reference)
    return BoundMetric(name=metric, function=METRICS[metric].function, pairs=pairs)


def require_metric(metric: object) -> None:
    """Raise an error unless `metric` is the name of a metric or a function of two arguments."""
    if callable(metric):
        _require_two_arguments(metric)
        return
    require_kind(
        metric, str, "the metric", f"one name ({', '.join(METRICS.names())}) or a function of logits and pairs"
    )
    _ = METRICS[str(metric)]


def _require_two_arguments(metric: Callable[..., Any]) -> None:
    try:
        taken = signature(metric)
    except (TypeError, ValueError):  # functions written in C may have no signature
        return
    try:
        taken.bind(None, None)
    except TypeError as error:
        name = getattr(metric, "__name__", "custom")
        raise InputError(f"metric {name!r} takes {taken}; give a function of the logits, shape [pair, d_vocab], and "
                         "the pairs") from error  # fmt: skip


@torch.no_grad()
def metrics_of_clean(
    model: HookedModel, pairs: PromptPairs, metrics: Iterable[str], *, budget: int | None = None
) -> dict[str, np.ndarray]:
    """Values of the metrics after the clean prompts, by name, each of shape [pair].

    `metrics` are names from `FROM_LOGITS`. One run over the prompts, in chunks, gives all of them. If answers have
    several tokens (`PromptPairs.completions`), they are read as a whole: see `own.sequences`.
    """
    if pairs.completions is not None:
        whole = whole_answers(model, pairs, budget=budget)
        return {metric: OF_WHOLE[metric](whole).numpy() for metric in metrics}
    values: dict[str, list[np.ndarray]] = {metric: [] for metric in metrics}
    for _, group in pairs.by_length():
        for rows, logits in model.logits_in_chunks(group.clean, budget=budget):
            for metric, parts in values.items():
                parts.append(METRICS[metric](logits[:, -1].float(), group[rows]).cpu().double().numpy())
    return {metric: pairs.in_order(parts) for metric, parts in values.items()}


def _at_tokens(values: Logits, ids: Int[Tensor, "pair token"]) -> AtTokens:
    """Values at some tokens of each pair, shape [pair, token]; -inf where an id is below zero: no token."""
    ids = ids.to(values.device)
    return values.gather(-1, ids.clamp_min(0)).masked_fill(ids < 0, -torch.inf)


def _log_sum_exp(values: Logits, ids: Int[Tensor, "pair token"]) -> PerPair:
    """Logarithm of the sum of the exponentials at some tokens of each pair."""
    return _at_tokens(values, ids)[:, 0] if ids.shape[1] == 1 else _at_tokens(values, ids).logsumexp(-1)


def _sum_at_tokens(values: Logits, ids: Int[Tensor, "pair token"]) -> PerPair:
    """Sum of non-negative values over some tokens of each pair."""
    return _at_tokens(values, ids).clamp_min(0).sum(-1)
