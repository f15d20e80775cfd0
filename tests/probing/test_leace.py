"""The guarantee of least-squares concept erasure: no linear probe does better than a constant afterwards."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from interp_emerge.probing import shelf
from interp_emerge.probing.base import Intervention
from interp_emerge.probing.engines.swaps import Swap
from interp_emerge.probing.engines.variables import Target
from tests.probing.blobs import blobs


def swap_of(x: torch.Tensor, labels: torch.Tensor, n_classes: int) -> Swap:
    target = Target(variable="blob", labels=labels, classes=tuple(range(n_classes)))
    everyone = torch.ones(len(x), dtype=torch.bool)
    return Swap(base=x, source=x, clean=x, target=target, training=everyone, metric=lambda values: values[:, 0], seed=0)


def accuracy(x: torch.Tensor, labels: torch.Tensor) -> float:
    return float(LogisticRegression(max_iter=2000).fit(x.numpy(), labels.numpy()).score(x.numpy(), labels.numpy()))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_no_linear_probe_beats_the_majority_after_erasure(n_classes: int):
    x, labels = blobs(n_classes, apart=3.0)
    chosen = shelf["leace"]
    assert isinstance(chosen, Intervention)
    assert accuracy(x[0], labels) > 0.9
    erased = chosen.change(swap_of(x[0], labels, n_classes)).values
    assert accuracy(erased, labels) <= 1 / n_classes + 0.01
    # Class means are equal: the condition under which no linear probe can do better than a constant.
    means = np.stack([erased[labels == one].mean(0) for one in range(n_classes)])
    assert np.abs(means - means.mean(0)).max() < 1e-3


def test_amnesic_projection_takes_the_variable_and_leaves_the_rest():
    x, labels = blobs(2, apart=6.0)
    chosen = shelf["amnesic"]
    assert isinstance(chosen, Intervention)
    change = chosen.change(swap_of(x[0], labels, 2))
    assert accuracy(x[0], labels) > 0.98 and accuracy(change.values, labels) < 0.75
    kept = torch.eye(x.shape[2]) - change.subspace @ change.subspace.T
    torch.testing.assert_close((change.values - x[0]) @ kept, torch.zeros_like(x[0]), atol=1e-3, rtol=0)
