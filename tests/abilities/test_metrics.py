import math

import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import METRICS, bind_metric
from tests.models.small_models import random_pairs, small_model

LOGITS = torch.tensor([[0.0, math.log(2), math.log(3)], [math.log(4), 0.0, math.log(3)]])
"""Probabilities 1/6, 2/6, 3/6 and 4/8, 1/8, 3/8."""
PAIRS = ie.PromptPairs(
    clean=torch.tensor([[0], [1]]),
    corrupt=torch.tensor([[1], [2]]),
    answer=torch.tensor([2, 2]),
    foil=torch.tensor([0, 0]),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logit_diff", [math.log(3), math.log(3) - math.log(4)]),
        ("prob_diff", [2 / 6, -1 / 8]),
        ("log_prob", [math.log(1 / 2), math.log(3 / 8)]),
        ("prob", [1 / 2, 3 / 8]),
        ("choice_prob", [3 / 4, 3 / 7]),
        ("accuracy", [1.0, 0.0]),
        ("brier", [-((1 / 4) ** 2), -((4 / 7) ** 2)]),
    ],
)
def test_metrics_by_hand(name: str, expected: list[float]):
    torch.testing.assert_close(METRICS[name](LOGITS, PAIRS), torch.tensor(expected))


def test_the_divergence_is_zero_in_the_clean_run_and_below_zero_in_another():
    model, pairs = small_model("gpt2"), random_pairs()
    kl = bind_metric("kl", model, pairs)
    with torch.no_grad():
        clean, corrupt = model.logits(pairs.clean), model.logits(pairs.corrupt)
    torch.testing.assert_close(kl(clean), torch.zeros(6), atol=1e-6, rtol=0)
    p, q = clean.softmax(-1), corrupt.softmax(-1)
    torch.testing.assert_close(kl(corrupt), -(p * (p / q).log()).sum(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["logit_diff", "kl"])
def test_a_metric_on_some_pairs_or_on_several_runs_is_the_metric_of_each(name: str):
    model, pairs = small_model("gpt2"), random_pairs()
    metric = bind_metric(name, model, pairs)
    with torch.no_grad():
        logits = model.logits(pairs.corrupt)
    torch.testing.assert_close(metric[slice(2, 4)](logits[2:4]), metric(logits)[2:4])
    torch.testing.assert_close(
        metric(torch.stack([logits, 2 * logits])), torch.stack([metric(logits), metric(2 * logits)])
    )
