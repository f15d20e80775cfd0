import pytest

from interp_emerge.core.memory import BUDGET, items_that_fit


@pytest.mark.parametrize(
    ("bytes_each", "n", "budget", "fit"), [(10, 100, 55, 5), (10, 3, 55, 3), (10, 100, 1, 1), (0, 7, 55, 7), (10, 0, 55, 1)]
)
def test_as_many_items_are_taken_as_the_budget_holds_and_at_least_one(bytes_each: int, n: int, budget: int, fit: int):
    assert items_that_fit(bytes_each, n, budget=budget) == fit


def test_what_fits_by_default_is_the_same_on_every_machine():
    assert items_that_fit(BUDGET // 10, 100) == 10
