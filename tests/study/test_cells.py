"""Cells: a result is computed once, and again only when something that decides it changes."""

from pathlib import Path

import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.study.cells import Cells, Models, same_threads


class Counting:
    """A computation that counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> pd.DataFrame:
        self.runs += 1
        return pd.DataFrame({"run": [self.runs]})


def test_the_second_time_a_cell_is_read(tmp_path: Path) -> None:
    compute = Counting()
    first = Cells(tmp_path).get("measure", {"n": 1}, compute)
    again = Cells(tmp_path).get("measure", {"n": 1}, compute)

    assert compute.runs == 1
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(("stage", "inputs"), [("measure", {"n": 2}), ("roles", {"n": 1}), ("measure", {"m": 1})])
def test_other_inputs_or_another_stage_make_another_cell(tmp_path: Path, stage: str, inputs: dict[str, int]) -> None:
    compute = Counting()
    Cells(tmp_path).get("measure", {"n": 1}, compute)
    Cells(tmp_path).get(stage, inputs, compute)

    assert compute.runs == 2


def test_a_computation_that_fails_leaves_no_cell(tmp_path: Path) -> None:
    def fail() -> pd.DataFrame:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        Cells(tmp_path).get("measure", {"n": 1}, fail)
    assert not Cells(tmp_path).has("measure", {"n": 1})
    assert not list(tmp_path.rglob("*.parquet"))


def test_tables_that_are_computed_together_are_read_one_by_one(tmp_path: Path) -> None:
    runs: list[int] = []

    def compute() -> list[pd.DataFrame]:
        runs.append(1)
        return [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [2]})]

    for _ in range(2):
        first, second = Cells(tmp_path).get_several("dependence", {"n": 1}, ("table", "onsets"), compute)
        assert first["a"].tolist() == [1] and second["b"].tolist() == [2]
    assert len(runs) == 1


def test_small_models_run_in_one_thread_and_the_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with same_threads():
            Models(ie.load_family("miniature")).get("3k", 0, 0)
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
