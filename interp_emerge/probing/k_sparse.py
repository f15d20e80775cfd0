"""Sparse probes: logistic regression on the few units whose class means differ most.

Units are the activations' own features, scaled to equal spread. Their number is chosen on the inner fold, so a probe is
as sparse as the held-out loss allows. The ranking is by the spread of class means, which for two classes is the
absolute difference of means, as in TransformerLens's `sparse_probing`.
"""

from dataclasses import replace

import torch

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.logistic_fits import fit_logistic
from interp_emerge.probing.engines.problems import Fit, Problem

UNITS = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Numbers of units to choose from; fewer units are the stronger regularisation."""
STRENGTH = 1e-3
"""L2 penalty of the regression on the chosen units."""


def fit(problem: Problem) -> Fit:
    """A probe for each number of units in `problem.strengths`; other weights are zero."""
    _, arms, splits, strengths = problem.shape
    width = problem.x.shape[-1]
    counts = problem.counts
    means = problem.sums() / counts.clamp_min(1)[..., None]
    share = (counts / counts.sum(-1, keepdim=True))[..., None]
    spread = (share * (means - (share * means).sum(-2, keepdim=True)).square()).sum(-2)
    ranked = spread.sort(dim=-1, descending=True, stable=True).indices
    weight = problem.x.new_zeros(*problem.shape, width, problem.n_outputs)
    bias = problem.x.new_zeros(*problem.shape, problem.n_outputs)
    for arm in range(arms):
        for split in range(splits):
            for strength in range(strengths):
                wanted = problem.strengths[:, arm, split, strength].long().clamp_max(width)
                for units in wanted.unique().tolist():
                    rows = (wanted == units).nonzero()[:, 0]
                    chosen = ranked[rows, arm, split, :units]
                    few = replace(
                        problem,
                        x=problem.x[rows].gather(-1, chosen[:, None].expand(-1, problem.x.shape[1], -1)),
                        labels=problem.labels[arm : arm + 1],
                        training=problem.training[split : split + 1],
                        strengths=problem.strengths.new_full((len(rows), 1, 1, 1), STRENGTH),
                    )
                    found = fit_logistic(few)
                    filled = torch.zeros_like(weight[rows, arm, split, strength])
                    at = chosen[..., None].expand(-1, -1, problem.n_outputs)
                    weight[rows, arm, split, strength] = filled.scatter(1, at, found.weight[:, 0, 0, 0])
                    bias[rows, arm, split, strength] = found.bias[:, 0, 0, 0]
    return Fit(weight=weight, bias=bias)


shelf.add(
    Decoder(
        name="k_sparse",
        summary="logistic regression on the few units whose class means differ most; classes",
        source=Source("Gurnee et al.", 2023, "https://arxiv.org/abs/2305.01610"),
        fit=fit,
        strengths=UNITS,
        features="units",
    )
)
