"""The metric of runs of all pairs that are continued from changed sites, in chunks of one length that fit the budget.

Runs that were made once are kept as long as they fit the budget together, so a change costs a part of a run.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interp_emerge.abilities.metrics import BoundMetric, MetricFunction, bind_metric
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.memory import ACCELERATOR_BUDGET, BYTES_A_FLOAT, CPU_BUDGET, bytes_of_run, items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.probing.engines.continuing import Continuation, gradients_at
from interp_emerge.probing.engines.sites import Places, Site


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunk:
    """Some pairs of one length."""

    rows: Tensor
    """Indices among all pairs."""
    tokens: Tensor
    metric: BoundMetric


class ChangedRuns:
    """The clean or the corrupted runs of all pairs, to be changed at one site at a time. Open while `model.running()`.

    Args:
        model: the model.
        pairs: the pairs; those of one length run together.
        side: `clean` or `corrupt`.
        metric: name of a metric, or a function of logits and pairs.
        budget: bytes that a chunk of runs may need, and that kept runs may need together.
    """

    def __init__(
        self,
        model: HookedModel,
        pairs: PromptPairs,
        side: Literal["clean", "corrupt"],
        metric: str | MetricFunction,
        budget: int | None,
    ) -> None:
        self.model, self._n, self._budget, self._chunks = model, len(pairs), budget, list[_Chunk]()
        for rows, group in pairs.by_length():
            tokens, bound = getattr(group, side), bind_metric(metric, model, group, budget=budget)
            each = BYTES_A_FLOAT * tokens.shape[1] * model.d_model * 4 * (len(model.decoder.blocks) + 4)
            n = items_that_fit(each, len(group), device=model.device, budget=budget)
            for start in range(0, len(group), n):
                part = slice(start, min(start + n, len(group)))
                self._chunks.append(_Chunk(rows=rows[part], tokens=tokens[part], metric=bound[part]))
            self.metric_name = bound.name
        self._kept: OrderedDict[int, Continuation] = OrderedDict()

    def _continuation(self, number: int) -> Continuation:
        if number not in self._kept:
            limit = self._budget or (CPU_BUDGET if self.model.device.type == "cpu" else ACCELERATOR_BUDGET)
            made = Continuation(self.model, self._chunks[number].tokens)
            while self._kept and sum(one.nbytes for one in (made, *self._kept.values())) > limit:
                self._kept.popitem(last=False)
            self._kept[number] = made
        self._kept.move_to_end(number)
        return self._kept[number]

    @torch.no_grad()
    def unchanged(self) -> Tensor:
        """The metric of the runs as they are, shape [pair]."""
        parts = [
            self._read(self._continuation(number).end[None], chunk.metric)[0]
            for number, chunk in enumerate(self._chunks)
        ]
        return self._in_order(parts, [chunk.rows for chunk in self._chunks])

    def metric(self, site: Site, index: Tensor, values: Tensor, pairs: Tensor | None = None) -> Tensor:
        """The metric with the activations of a site replaced, shape [version, pair].

        Args:
            site: where.
            index: its position in each of all pairs.
            values: what replaces the activations, shape [version, pair, feature].
            pairs: which pairs these are, ascending indices; by default all.
        """
        place = torch.full((self._n,), -1)
        place[slice(None) if pairs is None else pairs.cpu()] = torch.arange(values.shape[1])
        parts, found_at = [], []
        for number, chunk in enumerate(self._chunks):
            here = place[chunk.rows]
            inside = (here >= 0).nonzero()[:, 0]
            if not len(inside):
                continue
            whole = len(inside) == len(here)
            changed = values[:, here[inside].to(values.device)]
            prompts = None if whole else inside
            end = self._continuation(number).last(site, index[chunk.rows[inside]], changed, prompts)
            parts.append(self._read(end, chunk.metric if whole else chunk.metric[inside]))
            found_at.append(here[inside])
        return self._in_order(parts, found_at)

    def gradients(self, sites: Sequence[Site], places: Places) -> dict[Site, Tensor]:
        """Gradients of the metric at sites of the unchanged runs, shape [pair, feature] each."""
        found: dict[Site, list[Tensor]] = {site: [] for site in sites}
        for chunk in self._chunks:
            layers = len(self.model.decoder.blocks)
            each = layers * bytes_of_run(self.model.shape, chunk.tokens.shape[1], 0)
            n = max(1, (self._budget or CPU_BUDGET) // each)
            for part in torch.arange(len(chunk.rows)).split(n):
                here = Places(index={name: index[chunk.rows[part]] for name, index in places.index.items()})
                metric = chunk.metric[part]
                some = gradients_at(
                    self.model, chunk.tokens[part], sites, here, lambda end, of=metric: self._read(end[None], of)[0]
                )
                for site, values in some.items():
                    found[site].append(values)
        order = torch.argsort(torch.cat([chunk.rows for chunk in self._chunks]))
        return {site: torch.cat(parts)[order.to(parts[0].device)] for site, parts in found.items()}

    def _read(self, streams: Tensor, bound: BoundMetric) -> Tensor:
        tokens, metric = bound.reading()
        if tokens is not None:
            tokens = tokens.to(streams.device).expand(len(streams), -1, -1)
        return metric(self.model.decoder.logits(streams, tokens))

    @staticmethod
    def _in_order(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        """Values of chunks, the last axis over pairs, in the order of the pairs."""
        joined = torch.cat([*parts], -1)
        return joined[..., torch.argsort(torch.cat([*rows])).to(joined.device)]
