import pytest
import torch

from interp_emerge.core.errors import InputError
from interp_emerge.core.memory import ACCELERATOR_BUDGET, CPU_BUDGET, format_bytes, free_bytes, items_that_fit

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bytes_each", "n", "budget", "fit"),
    [(10, 100, 55, 5), (10, 3, 55, 3), (10, 100, 10, 1), (0, 7, 55, 7), (10, 0, 55, 1)],
)
def test_as_many_items_are_taken_as_the_budget_holds(bytes_each: int, n: int, budget: int, fit: int):
    assert items_that_fit(bytes_each, n, device=CPU, budget=budget) == fit


def test_what_fits_by_default_does_not_depend_on_what_is_free(monkeypatch: pytest.MonkeyPatch):
    for free in (CPU_BUDGET // 2, 1 << 40):
        monkeypatch.setattr("interp_emerge.core.memory.free_bytes", lambda device, free=free: free)
        assert items_that_fit(CPU_BUDGET // 10, 100, device=CPU) == 10
        assert items_that_fit(ACCELERATOR_BUDGET // 10, 100, device=torch.device("cuda")) == 10


def test_one_item_larger_than_the_default_is_taken_alone_as_long_as_there_is_room():
    assert free_bytes(CPU) > CPU_BUDGET + 1
    assert items_that_fit(CPU_BUDGET + 1, 100, device=CPU) == 1


def test_an_item_that_needs_more_than_the_budget_is_refused_with_both_numbers():
    message = "one cell needs about 2 KiB, but only 1.5 KiB are allowed; raise the budget, or use shorter prompts"
    with pytest.raises(InputError, match=message):
        items_that_fit(2048, 3, device=CPU, budget=1536, what="one cell")


def test_an_item_that_needs_more_than_there_is_is_refused_with_what_is_free():
    with pytest.raises(
        InputError,
        match=r"one prompt needs about 1\.07e\+09 GiB, but only .* are free; use shorter prompts or a smaller model",
    ):
        items_that_fit(1 << 60, 3, device=CPU)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (1023, "1.02e+03 bytes"), (1024, "1 KiB"), (5 << 20, "5 MiB"), (3 << 40, "3.07e+03 GiB")],
)
def test_a_number_of_bytes_is_said_with_three_digits_and_a_unit(size: int, words: str):
    assert format_bytes(float(size)) == words
