import pytest
import torch

from interp_emerge.core.memory import ACCELERATOR_BUDGET, CPU_BUDGET, items_that_fit

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bytes_each", "n", "budget", "fit"),
    [(10, 100, 55, 5), (10, 3, 55, 3), (10, 100, 1, 1), (0, 7, 55, 7), (10, 0, 55, 1)],
)
def test_as_many_items_are_taken_as_the_budget_holds_and_at_least_one(bytes_each: int, n: int, budget: int, fit: int):
    assert items_that_fit(bytes_each, n, device=CPU, budget=budget) == fit


def test_what_fits_by_default_does_not_depend_on_what_is_free():
    assert items_that_fit(CPU_BUDGET // 10, 100, device=CPU) == 10
    assert items_that_fit(ACCELERATOR_BUDGET // 10, 100, device=torch.device("cuda")) == 10
