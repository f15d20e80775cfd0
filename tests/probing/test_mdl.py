"""The online code, worked out by hand."""

import math

import numpy as np
import torch

from interp_emerge.core.source import Source
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.problems import Fit, Problem
from interp_emerge.probing.engines.trials import cuts_of, try_decoder
from tests.probing.blobs import blobs, design_of


def always(probability: float):
    """A decoder that gives the second of two classes the same probability on every prompt."""

    def fit(problem: Problem) -> Fit:
        weight = problem.x.new_zeros(*problem.shape, problem.x.shape[-1], 2)
        bias = problem.x.new_zeros(*problem.shape, 2)
        bias[..., 1] = math.log(probability / (1 - probability))
        return Fit(weight=weight, bias=bias)

    return Decoder(name="always", summary="", source=Source("", 0, ""), fit=fit, strengths=(1.0,))


def test_the_code_of_a_constant_probe_is_as_long_as_by_hand():
    """16 prompts all of the second class: 2 at a bit each, then blocks of 2, 4 and 8 with (t p + 1) / (t + 2)."""
    labels = torch.ones(16, dtype=torch.int64)
    design = design_of(torch.tensor([0, 1] * 8))
    design.labels[0] = labels
    found = try_decoder(always(0.75), torch.randn(1, 16, 3), design.only_true(), budget=1 << 20)
    assert cuts_of(torch.arange(1, 17), (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0), 2) == [2, 4, 8, 16]
    by_hand = 2 - sum(many * math.log2((seen * 0.75 + 1) / (seen + 2)) for seen, many in ((2, 2), (4, 4), (8, 8)))
    assert found.bits[0] == np.float64(by_hand) or math.isclose(found.bits[0], by_hand, rel_tol=1e-6)
    assert found.learning.tolist() == [[1.0, 1.0, 1.0]] and found.learnt_on.tolist() == [2, 4, 8]


def test_separable_labels_have_a_shorter_code_than_random_ones_and_more_portions_shorten_it():
    x, labels = blobs(2)
    logistic, mdl = shelf["logistic"], shelf["mdl"]
    assert isinstance(logistic, Decoder) and isinstance(mdl, Decoder)
    few, many = (try_decoder(one, x, design_of(labels).only_true(), budget=1 << 28).bits for one in (logistic, mdl))
    assert few[0] < 0.3 * len(labels) and few[1] > 0.9 * len(labels)
    assert many[0] <= few[0]


def test_fragility_is_larger_where_classes_are_further_apart():
    logistic = shelf["logistic"]
    assert isinstance(logistic, Decoder)
    near, far = (
        try_decoder(logistic, blobs(2, apart=apart)[0], design_of(torch.arange(240) % 2).only_true(), budget=1 << 28)
        for apart in (5.0, 12.0)
    )
    assert near.hits[0, 0].mean() > 0.98 and far.hits[0, 0].mean() == 1
    assert far.fragility[0] > 1.2 * near.fragility[0]


def test_random_labels_of_repeated_prompts_have_no_shorter_code_than_by_guessing():
    """40 prompts, each six times, with a coin for each prompt: equal prompts in one block cannot tell of each other."""
    generator = torch.Generator().manual_seed(0)
    prompts, coins = torch.randn(1, 40, 20, generator=generator), torch.arange(40) % 2
    groups = torch.randperm(240, generator=generator) % 40
    logistic = shelf["logistic"]
    assert isinstance(logistic, Decoder)
    found = try_decoder(
        logistic, prompts[:, groups], design_of(coins[groups], groups=groups).only_true(), budget=1 << 28
    )
    assert found.bits[0] > 0.95 * 240
    assert found.learning.max() < 0.7


def test_a_portion_that_ends_inside_a_group_ends_with_it():
    assert cuts_of(torch.tensor([3, 6, 10, 12]), (1 / 4, 1 / 2, 3 / 4, 1.0), 2) == [3, 6, 10, 12]
    assert cuts_of(torch.tensor([1, 11, 12]), (1 / 12, 1 / 4, 1 / 2, 1.0), 2) == [11, 12]
