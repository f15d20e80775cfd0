"""Probes of one variable fitted on halves of the prompts at one checkpoint, and the cosines of those of two.

A direction is all of a probe's columns of weights, their mean taken off, as one vector of length one.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from interp_emerge.core.memory import CPU_BUDGET
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.problems import Basis, Problem
from interp_emerge.probing.engines.trials import Design, plain_basis
from interp_emerge.stats.intervals import SURE, Interval

LARGEST = 1 - 1e-9
"""Largest cosine whose transform is finite."""


class CheckpointFits:
    """The directions of a checkpoint, shape [half, fit, feature · output] each, once they are fitted."""

    true: Tensor
    """Of the labels, one fit."""
    resampled: Tensor
    """Of bootstrap samples."""
    shuffled: Tensor
    """Of shuffled labels."""

    def __init__(
        self,
        decoder: Decoder,
        activations: Tensor,
        design: Design,
        second: np.ndarray,
        strength: float,
        accuracy: float,
    ) -> None:
        """Activations have the shape [prompt, feature]; `second` says which prompts are in the second half."""
        self.strength, self.accuracy = strength, accuracy
        self._fit, self._budget = decoder.fit, CPU_BUDGET
        self._basis, self._x = (Basis.of if decoder.features == "axes" else plain_basis)(activations[None])
        target = design.target
        self._n_classes = target.n_classes
        self._labels = (target.labels if self._n_classes else target.labels.to(self._x.dtype)).to(self._x.device)
        self._halves = torch.from_numpy(np.stack([~second, second])).to(self._x.device)

    def fit(self, strength: float, samples: Sequence[np.ndarray], labels: Tensor) -> None:
        """Fit all directions. Samples are rows of prompts, and shuffled labels have the shape [draw, prompt]."""
        problem = Problem(
            x=self._x,
            labels=self._labels[None],
            n_classes=self._n_classes,
            training=self._halves,
            strengths=self._x.new_full((1, 1, 2, 1), strength),
            budget=self._budget,
        )
        self.true = self._directions(problem)
        self.resampled = torch.cat([self._directions(_of_rows(problem, rows)) for rows in samples], dim=1)
        strengths = problem.strengths.expand(1, len(labels), 2, 1)
        wanted = labels.to(self._x.device, self._labels.dtype)
        self.shuffled = self._directions(replace(problem, labels=wanted, strengths=strengths))

    def _directions(self, problem: Problem) -> Tensor:
        found = self._fit(problem).weight[0, :, :, 0]  # [fit, half, axis, output]
        raw = self._basis.axes[0] @ found
        if raw.shape[-1] > 1:
            raw = raw - raw.mean(-1, keepdim=True)
        flat = raw.flatten(2).transpose(0, 1).double()
        return (flat / flat.norm(dim=-1, keepdim=True)).cpu()


def _of_rows(problem: Problem, rows: np.ndarray) -> Problem:
    """The same problem on a sample of the prompts, in which some are several times."""
    at = torch.from_numpy(rows).to(problem.x.device)
    return replace(problem, x=problem.x[:, at], labels=problem.labels[:, at], training=problem.training[:, at])


def cosines(one: Tensor, other: Tensor) -> np.ndarray:
    """The cosine of each fit's directions, those of one half with those of the other half, mean of both ways, [fit]."""
    return (((one[0] * other[1]).sum(-1) + (one[1] * other[0]).sum(-1)) / 2).numpy()


def fisher_interval(cosine: float, samples: np.ndarray) -> Interval:
    """A cosine with its interval, whose width is the spread of samples, [sample], in Fisher's transform."""
    from scipy.stats import norm

    if np.isnan(cosine) or np.isnan(samples).any():
        return Interval(cosine, np.nan, np.nan)
    spread = float(np.arctanh(samples.clip(-LARGEST, LARGEST)).std(ddof=1)) * float(norm.ppf(SURE))
    middle = float(np.arctanh(np.clip(cosine, -LARGEST, LARGEST)))
    return Interval(cosine, float(np.tanh(middle - spread)), float(np.tanh(middle + spread)))
