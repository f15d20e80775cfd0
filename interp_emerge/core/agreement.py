"""Whether a decoder computes what its model computes, on the very prompts that are analysed.

A reading of a model that is right on a short prompt may be wrong on a long one, or where values are large. So the
model's own logits are compared with the decoder's whenever prompts have a new length, or reach further than those that
were compared before: further in queries, keys, heads' outputs, MLPs or the stream.

Cost: the model's forward pass on a few prompts, a sixteenth of those at hand at most; more where a model is so small
that all cost less than a millisecond.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from interp_emerge.core.decoder import Prove

SHARE = 16
"""Of so many prompts, one may be compared at once."""
CHEAP = 50_000_000
"""Parameters × tokens that are compared at once whatever the share: about a millisecond."""


class Reach:
    """The largest size of each kind of value in a run, prompt by prompt."""

    def __init__(self) -> None:
        self._largest: dict[str, Tensor] = {}

    def see(self, kind: str, values: Tensor) -> None:
        """Take in the values of one kind in one layer, the first axis counting prompts."""
        # Six times as fast as the infinity norm.
        found = values.detach().abs().amax(tuple(range(1, values.ndim))).float()
        self._largest[kind] = torch.maximum(self._largest[kind], found) if kind in self._largest else found

    def by_kind(self) -> dict[str, Tensor]:
        """The largest size of each kind, shape [prompt] each."""
        return self._largest


class Agreement:
    """On which lengths, and up to which sizes of values, a decoder has been compared with its model."""

    def __init__(self, prove: Prove, *, n_parameters: int, lengths: Iterable[int]) -> None:
        self._prove, self._n_parameters = prove, max(1, n_parameters)
        self.lengths = set(lengths)
        self._reached: dict[str, Tensor] = {}

    def require(self, tokens: Tensor, last: Tensor, reach: Reach, *, every: bool = False) -> None:
        """Compare those of the prompts that go beyond what has been compared.

        Args:
            tokens: prompts, shape [row, pos].
            last: the decoder's stream behind the last block at their last position, shape [row, d_model].
            reach: sizes of the run's values.
            every: compare all prompts, as for a model with hooks, which may act on some prompts only.

        Raises:
            ModelError: the model's own logits are different.
        """
        n, length = tokens.shape
        beyond = self._beyond(reach)
        most = max(1, n // SHARE, CHEAP // (self._n_parameters * length))
        rows = beyond.argsort(descending=True)[:most]
        rows = rows[: max(int((beyond[rows] > 1).sum()), int(length not in self.lengths))]
        rows = torch.arange(n) if every else rows
        if not len(rows):
            return
        self._prove(tokens[rows.to(tokens.device)], last[rows].detach())
        self.lengths.add(length)
        for kind, sizes in reach.by_kind().items():
            largest = sizes[rows].max()
            self._reached[kind] = torch.maximum(self._reached[kind], largest) if kind in self._reached else largest

    def _beyond(self, reach: Reach) -> Tensor:
        """How many times as far as before each prompt reaches, shape [row].

        Before the first prompts, half of the largest of them counts as reached.
        """
        ratios = []
        for kind, sizes in reach.by_kind().items():
            reached = self._reached.get(kind, sizes.max() / 2)
            ratios.append(sizes / reached.clamp_min(torch.finfo(sizes.dtype).tiny))
        return torch.stack(ratios, 1).amax(1)
