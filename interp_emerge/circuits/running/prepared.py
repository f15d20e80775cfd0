"""What every batch of circuits needs on the same pairs: both runs, the metrics, and the metrics of both runs.

A search runs many small batches on the same pairs, and making these anew takes two forward passes each time. `Prepared`
makes each of them when it is first used and keeps it. `what_fits` says which of them may be kept for several calls.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax

from interp_emerge.abilities.metrics import (
    KL,
    BoundMetric,
    MetricFunction,
    bind_metric,
    bytes_of_reading,
    clean_log_probs,
)
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import Recording, bytes_per_prompt, final_logits
from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import items_that_fit
from interp_emerge.core.model import HookedModel
from interp_emerge.core.weights import State
from interp_emerge.patching.base import Recorder
from interp_emerge.patching.engines.circuit_run import (
    BothRuns,
    bytes_of_both_runs,
    bytes_of_two_recordings,
    circuit_values,
)

HELD_SHARE = 2
"""What stays in memory may take 1 / `HELD_SHARE` of the budget."""
N_METRICS = 3
"""The metric, the divergence and the accuracy."""


class Prepared:
    """Both runs of pairs of one length, and what circuits are compared with."""

    def __init__(
        self,
        model: HookedModel,
        pairs: PromptPairs,
        *,
        metric: str | MetricFunction,
        ablation: str,
        budget: int | None,
        record: Recorder,
        keep_both: bool,
    ) -> None:
        """Runs nothing; `keep_both` says whether more than the recordings stays in memory."""
        self.model, self.pairs, self.metric, self.ablation = model, pairs, metric, ablation
        self.budget, self.record, self.keep_both = budget, record, keep_both
        self._state = State.of(model.hf)
        self._ends: dict[int, dict[bytes, np.ndarray]] = {}
        self._metrics: dict[int, Sequence[BoundMetric]] = {}
        self._recordings: tuple[Recording, Recording] | None = None
        self._both: BothRuns | None = None

    def require_same_model(self) -> None:
        """Refuse a model that has been changed since its runs were made.

        Raises:
            InputError: a weight, hook or module has changed.
        """
        if State.of(self.model.hf) != self._state:
            raise InputError(f"{self.model.spec} was changed while its runs were held; change it outside `held`")

    def ends(self, n_metrics: int) -> dict[bytes, Float[np.ndarray, "metric pair"]]:
        """The first metrics of the whole model and, under resample ablation, of no edge, by the edges' bytes."""
        if n_metrics not in self._ends:
            exists = self.model.graph.exists
            clean, corrupt = self.recordings()
            found = {exists.tobytes(): self._read(clean, n_metrics)}
            if self.ablation == "resample":
                found[np.zeros_like(exists).tobytes()] = self._read(corrupt, n_metrics)
            for values in found.values():
                values.flags.writeable = False  # evaluations share them
            self._ends[n_metrics] = found
        return dict(self._ends[n_metrics])

    def values(self, masks: np.ndarray, n_metrics: int, what: str) -> Float[np.ndarray, "circuit metric pair"]:
        """The first metrics of circuits, whose edges have shape [circuit, writer, reader]; `what` they are."""
        model, (clean, corrupt) = self.model, self.recordings()
        with model.running():
            if self.keep_both and self._both is None:
                self._both = BothRuns(model, clean, corrupt, budget=self.budget)
            found = circuit_values(
                model, torch.from_numpy(masks), clean, corrupt, self.metrics(n_metrics),
                ablation=self.ablation, budget=self.budget, both=self._both, what=what,
            )  # fmt: skip
        return torch.stack(found, 1).cpu().double().numpy()

    def recordings(self) -> tuple[Recording, Recording]:
        """The clean and the corrupted run."""
        if self._recordings is None:
            clean, corrupt = (self.record(self.model, tokens) for tokens in (self.pairs.clean, self.pairs.corrupt))
            self._recordings = clean, corrupt
        return self._recordings

    def metrics(self, n: int) -> Sequence[BoundMetric]:
        """The first `n` of: the metric, minus the divergence from the clean run, and the accuracy."""
        if n not in self._metrics:
            divergence = [self._divergence()] if n > 1 or self.metric == KL.name else []
            first = divergence if self.metric == KL.name else [bind_metric(self.metric, self.model, self.pairs)]
            self._metrics[n] = [*first, *divergence, bind_metric("accuracy", self.model, self.pairs)][:n]
        return self._metrics[n]

    def _divergence(self) -> BoundMetric:
        model, (clean, _) = self.model, self.recordings()
        each = bytes_per_prompt(model, self.pairs.length)

        @torch.no_grad()
        def make(rows: slice) -> Tensor:
            chunk = items_that_fit(each, rows.stop - rows.start, device=model.device, budget=self.budget)
            starts = range(rows.start, rows.stop, chunk)
            parts = [final_logits(model, clean[start : min(start + chunk, rows.stop)]) for start in starts]
            return log_softmax(torch.cat(parts).float(), -1)

        reference = clean_log_probs(make, len(self.pairs), model, budget=self.budget)
        return BoundMetric(name=KL.name, function=None, pairs=self.pairs, clean_log_probs=reference)

    def _read(self, run: Recording, n_metrics: int) -> Float[np.ndarray, "metric pair"]:
        """Metrics of a recorded run, computed on chunks of pairs that fit the budget."""
        n, length = self.pairs.clean.shape
        each = bytes_per_prompt(self.model, length) + bytes_of_reading(self.model)
        chunk = items_that_fit(each, n, device=self.model.device, budget=self.budget)
        parts = []
        for rows in (slice(start, start + chunk) for start in range(0, n, chunk)):
            logits = final_logits(self.model, run[rows])
            found = [metric[rows](logits).cpu().double() for metric in self.metrics(n_metrics)]
            parts.append(torch.stack(found))
        return torch.cat(parts, 1).numpy()


def what_fits(model: HookedModel, n_pairs: Mapping[int, int], *, budget: int | None) -> tuple[bool, bool]:
    """Whether recordings of so many pairs of each length may stay in memory, and what is computed from them too."""
    half = items_that_fit(1, 1 << 62, device=model.device, budget=budget) // HELD_SHARE
    recordings, all_of_it = (
        sum(n * bytes_of(model, length) for length, n in n_pairs.items())
        for bytes_of in (bytes_of_two_recordings, bytes_of_both_runs)
    )
    return recordings <= half, all_of_it <= half
