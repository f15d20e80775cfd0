"""The cosine of two directions, plain and after whitening."""

import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError


@pytest.fixture
def activations() -> torch.Tensor:
    """Spread ten times wider along the first axis."""
    return torch.randn(500, 3, dtype=torch.float64) * torch.tensor([10.0, 1.0, 1.0])


def test_the_cosine_of_weights_is_the_correlation_of_what_the_probes_read(activations: torch.Tensor):
    one, other = torch.tensor([1.0, 5.0, 0.0]).double(), torch.tensor([1.0, -5.0, 0.0]).double()
    read = torch.stack([activations @ one, activations @ other]).corrcoef()[0, 1]
    found = ie.probing.compare_directions(one, other, activations)
    assert found.mahalanobis == pytest.approx(float(read))
    assert found.plain == pytest.approx(-24 / 26) and found.mahalanobis > 0.4


def test_a_change_of_units_leaves_the_cosine_of_directions(activations: torch.Tensor):
    one, other = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([0.0, 1.0, 1.0]).double()
    mixed = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.1, 3.0], [1.0, 0.0, 1.0]]).double()
    before = ie.probing.compare_directions(one, other, activations, of="directions")
    after = ie.probing.compare_directions(mixed @ one, mixed @ other, activations @ mixed.T, of="directions")
    assert after.mahalanobis == pytest.approx(before.mahalanobis, abs=1e-3)
    assert abs(after.plain - before.plain) > 0.05


def test_with_equal_spread_both_cosines_agree_and_of_nothing_there_is_none():
    white = torch.linalg.qr(torch.randn(200, 3, dtype=torch.float64) - 0.5)[0]
    white = torch.linalg.qr(white - white.mean(0))[0]
    one, other = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([0.3, 1.0, 1.0]).double()
    found = ie.probing.compare_directions(one, other, white)
    assert found.plain == pytest.approx(found.mahalanobis, abs=1e-6)
    none = ie.probing.compare_directions(torch.zeros(3).double(), other, white)
    assert none.plain != none.plain and none.mahalanobis != none.mahalanobis


@pytest.mark.parametrize(
    ("one", "n", "of", "words"),
    [
        (torch.ones(2), 10, "weights", "directions of 2 and 3 features, and activations of 3: give all of one site"),
        (torch.ones(3), 3, "weights", "3 prompts do not determine the covariance of 3 features"),
        (torch.full((3,), torch.nan), 10, "weights", "not finite"),
        (torch.ones(3), 10, "probes", "unknown of 'probes'"),
    ],
)
def test_bad_input_is_refused_in_one_line(one: torch.Tensor, n: int, of: str, words: str):
    with pytest.raises(InterpEmergeError, match=words):
        ie.probing.compare_directions(one, torch.ones(3), torch.randn(n, 3), of=of)  # pyright: ignore[reportArgumentType]


def test_lengths_of_directions_do_not_matter(activations: torch.Tensor):
    one, other = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([0.0, 1.0, 1.0]).double()
    found = ie.probing.compare_directions(one, other, activations)
    tiny = ie.probing.compare_directions(1e-200 * one, 1e-200 * other, activations)
    assert (tiny.plain, tiny.mahalanobis) == pytest.approx((found.plain, found.mahalanobis))


def test_a_weight_of_several_columns_is_refused(activations: torch.Tensor):
    with pytest.raises(InterpEmergeError, match=r"one has shape \[3, 1\]; give \[feature\], one column"):
        ie.probing.compare_directions(torch.ones(3, 1), torch.ones(3), activations)
