"""Cuts of curves into straight lines, compared with a search through all cuts."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from interp_emerge.stats.segments import best_cuts, bic_of_cuts, fit_lines


def residuals(x: np.ndarray, y: np.ndarray, cuts: tuple[int, ...]) -> float:
    stretches = [slice(*ends) for ends in pairwise((0, *cuts, len(x)))]
    fits = [(y[at] - np.polyval(np.polyfit(x[at], y[at], 1), x[at])) for at in stretches]
    return float(sum((left**2).sum() for left in fits))


def test_the_best_cuts_are_those_of_a_search_through_all():
    rng = np.random.default_rng(0)
    x, curves = np.sort(rng.random(11)), rng.normal(size=(4, 11))
    cuts, costs = best_cuts(x, curves, 2, 3)
    for number in range(3):
        every = [
            some
            for some in combinations(range(3, 9), number)
            if all(stop - start >= 3 for start, stop in pairwise((0, *some, 11)))
        ]
        for curve in range(4):
            least = min(every, key=lambda some, y=curves[curve]: residuals(x, y, some))
            assert tuple(cuts[number][curve]) == least
            assert costs[number, curve] == pytest.approx(residuals(x, curves[curve], least))


def test_lines_that_were_cut_are_found_and_fitted_exactly():
    x = np.arange(10.0)
    y = np.where(x < 4, 2 * x, 30 - x)
    cuts, costs = best_cuts(x, y[None], 1, 3)
    fitted, lines = fit_lines(x, y, cuts[1][0])
    assert cuts[1].tolist() == [[4]] and costs[1, 0] == pytest.approx(0, abs=1e-9)
    assert fitted == pytest.approx(y) and np.array(lines) == pytest.approx(np.array([[2, 0], [-1, 30]]), abs=1e-9)


def test_the_size_of_a_block_of_curves_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    x, curves = np.arange(8.0), np.random.default_rng(1).normal(size=(7, 8))
    expected = best_cuts(x, curves, 1, 3)
    monkeypatch.setattr("interp_emerge.stats.segments.BYTES_PER_BLOCK", 1)
    found = best_cuts(x, curves, 1, 3)
    assert (found[1] == expected[1]).all() and (found[0][1] == expected[0][1]).all()


def test_the_criterion_by_hand_and_its_floor():
    # n ln(RSS / n) + 3 (cuts + 1) ln n.
    found = bic_of_cuts(np.array([[8.0], [1e-9]]), 4, 0.5)
    assert found[:, 0] == pytest.approx([4 * np.log(2) + 3 * np.log(4), 4 * np.log(0.5) + 6 * np.log(4)])
