"""Activations of two sites that decoders are tested on, and labels for them."""

import torch
from torch import Tensor

from interp_emerge.probing.engines.folds import folds_of
from interp_emerge.probing.engines.trials import Design
from interp_emerge.probing.engines.variables import Target

N, WIDTH = 240, 20


def blobs(n_classes: int = 3, *, n: int = N, width: int = WIDTH, apart: float = 8.0) -> tuple[Tensor, Tensor]:
    """Activations of two sites, [site, prompt, feature], and labels: classes are far apart at the first site only."""
    labels = torch.arange(n) % n_classes
    x = torch.randn(2, n, width)
    x[0, torch.arange(n), labels] += apart
    return x * 5 + 3, labels


def design_of(
    labels: Tensor, *, arms: dict[str, Tensor] | None = None, n_folds: int = 5, groups: Tensor | None = None
) -> Design:
    """A design with the true labels and with shuffled ones; by default every prompt is a group of its own."""
    n_classes = 0 if labels.is_floating_point() else int(labels.max()) + 1
    arms = arms or {"true": labels, "shuffled": labels[torch.randperm(len(labels))]}
    target = Target(variable="blob", labels=labels, classes=tuple(range(n_classes)))
    groups = torch.arange(len(labels)) if groups is None else groups
    folds = folds_of(groups, labels, n_folds, seed=0)
    stacked = torch.stack([*arms.values()])
    return Design(target=target, arms=tuple(arms), labels=stacked, folds=folds, groups=groups, seed=0)
