"""Fits against scikit-learn, and what the engine does with folds and strengths."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from interp_emerge.probing.engines.least_squares import cholesky, fit_centroids, fit_ridge, fit_shared_covariance
from interp_emerge.probing.engines.logistic_fits import fit_logistic
from interp_emerge.probing.engines.problems import Basis, Problem
from tests.probing.blobs import blobs

STRENGTHS = (1e-3, 1e-1, 1.0)
CLOSE = 1e-3
EXACT = "donot_use_mm_for_euclid_dist"


def problem_of(x: Tensor, labels: Tensor, *, n_classes: int, strengths: tuple[float, ...] = STRENGTHS) -> Problem:
    """Two arms and two splits: the first 160 prompts, and all of them."""
    training = torch.stack([torch.arange(x.shape[1]) < 160, torch.ones(x.shape[1], dtype=torch.bool)])
    arms = torch.stack([labels, labels.roll(7)])
    given = x.new_tensor(strengths).expand(len(x), 2, 2, -1)
    return Problem(x=x, labels=arms, n_classes=n_classes, training=training, strengths=given, tolerance=1e-4)


def each(problem: Problem):
    """Every site, arm, split and strength, with its training activations and labels as arrays."""
    for site in range(len(problem.x)):
        for arm in range(len(problem.labels)):
            for split in range(len(problem.training)):
                rows = problem.training[split]
                x, y = problem.x[site, rows].numpy(), problem.labels[arm, rows].numpy()
                for place in range(problem.strengths.shape[-1]):
                    yield (site, arm, split, place), x, y, float(problem.strengths[site, arm, split, place])


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("apart", [0.5, 3.0])
def test_logistic_probabilities_are_those_of_scikit_learn(n_classes: int, apart: float):
    x, labels = blobs(n_classes, apart=apart)
    x = Basis.of(x)[1]
    problem = problem_of(x, labels, n_classes=n_classes)
    fit = fit_logistic(problem)
    for (site, arm, split, place), rows, y, strength in each(problem):
        theirs = LogisticRegression(C=1 / (strength * len(y)), tol=1e-9, max_iter=5000).fit(rows.astype(float), y)
        scores = fit.scores(x, split=split)[site, arm, place]
        np.testing.assert_allclose(scores.softmax(-1), theirs.predict_proba(x[site].double()), atol=CLOSE)


@pytest.mark.parametrize("n_classes", [0, 3])
def test_ridge_predictions_are_those_of_scikit_learn(n_classes: int):
    x, labels = blobs(3, apart=1.0)
    x = Basis.of(x)[1]
    if not n_classes:
        labels = x[0, :, 0] + 0.1 * torch.randn(x.shape[1])
    problem = problem_of(x, labels, n_classes=n_classes)
    fit = fit_ridge(problem)
    for (site, arm, split, place), rows, y, strength in each(problem):
        target = np.eye(3)[y] if n_classes else y[:, None]
        theirs = Ridge(alpha=strength * len(y)).fit(rows.astype(float), target)
        ours = fit.scores(x, split=split)[site, arm, place]
        np.testing.assert_allclose(ours, theirs.predict(x[site].double()).reshape(ours.shape), atol=CLOSE)


def test_ridge_with_other_strengths_for_each_arm_is_the_same():
    x, labels = blobs(3, apart=1.0)
    problem = problem_of(Basis.of(x)[1], labels, n_classes=3, strengths=(0.1,))
    shared = fit_ridge(problem)
    strengths = problem.strengths.clone()
    strengths[:, 1] = 0.5
    own = fit_ridge(Problem(**{**vars_of(problem), "strengths": strengths}))
    torch.testing.assert_close(own.weight[:, 0], shared.weight[:, 0])
    assert not torch.allclose(own.weight[:, 1], shared.weight[:, 1])


def vars_of(problem: Problem) -> dict[str, object]:
    return {name: getattr(problem, name) for name in ("x", "labels", "n_classes", "training", "strengths")}


def test_centroids_and_shared_covariance_predict_as_scikit_learn_does():
    x, labels = blobs(3, apart=2.0)
    problem = problem_of(Basis.of(x)[1], labels, n_classes=3, strengths=(0.0,))
    tiny = problem_of(Basis.of(x)[1], labels, n_classes=3, strengths=(1e-6,))
    centroids, covariance = fit_centroids(problem), fit_shared_covariance(tiny)
    for (site, arm, split, _), rows, y, _ in each(problem):
        nearest = NearestCentroid().fit(rows, y).predict(problem.x[site].numpy())
        ours = centroids.scores(problem.x, split=split)[site, arm, 0].argmax(-1)
        assert (ours.numpy() == nearest).mean() > 0.995
        theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(rows, y)
        ours = covariance.scores(problem.x, split=split)[site, arm, 0].argmax(-1)
        assert (ours.numpy() == theirs.predict(problem.x[site].numpy())).mean() > 0.99


def test_a_class_without_training_prompts_is_never_predicted():
    x, labels = blobs(3)
    labels = labels.sort().values  # the first 160 prompts have the first two classes
    problem = problem_of(Basis.of(x)[1], labels, n_classes=3, strengths=(0.1,))
    for fit in (fit_logistic(problem), fit_centroids(problem), fit_shared_covariance(problem)):
        assert int(fit.scores(problem.x, split=0)[:, 0].argmax(-1).max()) == 1


def test_a_basis_keeps_distances_and_gives_the_weights_back():
    for n, width in ((50, 8), (8, 50)):
        x = torch.randn(2, n, width) * torch.logspace(-2, 2, width) + 3
        basis, turned = Basis.of(x)
        lengths = torch.cdist(x[0], x[0], compute_mode=EXACT) / basis.scale[0]
        torch.testing.assert_close(torch.cdist(turned[0], turned[0], compute_mode=EXACT), lengths, atol=2e-3, rtol=1e-3)
        weight, bias = torch.randn(2, turned.shape[2], 3), torch.randn(2, 3)
        raw, offset = basis.weights(weight, bias)
        torch.testing.assert_close(x @ raw + offset[:, None], turned @ weight + bias[:, None], atol=2e-2, rtol=1e-3)


def test_problems_in_small_groups_give_the_same():
    x, labels = blobs(3, apart=1.0)
    problem = problem_of(Basis.of(x)[1], labels, n_classes=3)
    small = Problem(**{**vars_of(problem), "budget": 1, "tolerance": 1e-4})
    torch.testing.assert_close(fit_logistic(small).weight, fit_logistic(problem).weight, atol=2e-3, rtol=1e-2)


def test_a_factor_that_fails_in_single_precision_is_made_in_double():
    row = torch.tensor([1.0, 1.0])
    matrix = (torch.outer(row, row) - 1e-7 * torch.eye(2))[None]
    assert cholesky(matrix, torch.tensor([2e-7])).isfinite().all()
    assert cholesky(torch.eye(2)[None], torch.tensor([0.0])).dtype == torch.float32
