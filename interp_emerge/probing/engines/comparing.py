"""Accuracies and their differences, with intervals over the groups of pairs that are held out together.

Every quantity is a ratio of sums over pairs: of correct predictions and pairs, or of explained and total variance.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from interp_emerge.probing.engines.trials import Design
from interp_emerge.stats.intervals import Interval, mean_interval, ratio_interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Turns held-out predictions into accuracies."""

    design: Design

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of each pair, shape [pair]."""
        return self.design.groups.numpy()

    @property
    def is_classes(self) -> bool:
        return bool(self.design.target.n_classes)

    @cached_property
    def alone(self) -> bool:
        """Whether every group is a single pair."""
        return len({*self.groups.tolist()}) == len(self.groups)

    def parts(self, hits: np.ndarray, arm: int = 0) -> np.ndarray:
        """What each pair adds to an accuracy: its correct prediction, or its explained variance, shape [pair]."""
        return hits if self.is_classes else self.design.base[arm] - hits

    def shares(self, hits: np.ndarray) -> np.ndarray:
        """For each pair a value whose mean over pairs is the accuracy of the true labels, shape [pair]."""
        return self.parts(hits) if self.is_classes else self.parts(hits) / self.design.base[0].mean()

    def accuracy(self, hits: np.ndarray, arm: int = 0) -> float:
        """The accuracy, or the share of variance explained."""
        whole = len(hits) if self.is_classes else self.design.base[arm].sum()
        return float(self.parts(hits, arm).sum() / whole)

    def interval(self, hits: np.ndarray) -> Interval:
        """The accuracy of the true labels with its interval."""
        if self.is_classes and self.alone:
            return mean_interval(hits, share=True)
        return self._ratio(self.parts(hits))

    def difference(self, hits: np.ndarray, other: np.ndarray, *, arm: int = 0) -> Interval:
        """An accuracy minus another on the same pairs, with the interval of the paired difference."""
        if self.is_classes or arm == 0:
            return self._ratio(self.parts(hits) - self.parts(other, arm))
        # The two have variances of their own, so each part is taken relative to its own total.
        scale = self.design.base[0].sum() / self.design.base[arm].sum()
        return self._ratio(self.parts(hits) - scale * self.parts(other, arm))

    def over_base(self, hits: np.ndarray) -> np.ndarray:
        """For each group, how much more is right than by the majority class or the mean, shape [group]."""
        over = hits - self.design.base[0] if self.is_classes else self.parts(hits)
        return self._sums(over)

    def _ratio(self, above: np.ndarray) -> Interval:
        if self.is_classes and self.alone:
            return mean_interval(above)
        below = np.ones(len(above)) if self.is_classes else self.design.base[0]
        return ratio_interval(self._sums(above), self._sums(below))

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.groups, values)
