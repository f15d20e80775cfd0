"""The plan of a study: what it says before is what is computed after."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.study.cells import Cells
from interp_emerge.study.plan import COLUMNS, in_lines
from tests.studies import SETTINGS, MadeOnce, small_study


@pytest.fixture(scope="module")
def finished(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was run, in a directory of its own."""
    return shutil.copytree(made_once("small study", small_study), tmp_path_factory.mktemp("plan") / "out")


def counts(plan: pd.DataFrame) -> dict[str, tuple[int, int, int, bool]]:
    columns = ("models", "done", "compute", "at_most")
    return {row["stage"]: tuple(row[column] for column in columns) for row in plan.to_dict("records")}


def test_before_the_first_run_everything_is_to_compute_and_circuits_are_an_upper_bound(tmp_path: Path, monkeypatch):
    study = ie.Study(out=str(tmp_path / "out"), **SETTINGS)
    monkeypatch.setattr(type(study.family), "load", lambda *_a, **_k: pytest.fail("a model was loaded"))
    plan = study.plan()
    assert [*plan] == [*COLUMNS]
    assert counts(plan) == {
        "measure": (6, 0, 6, False),
        "locate": (2, 0, 2, False),
        "follow": (6, 0, 6, True),
        "depend": (2, 0, 2, True),
        "compare": (1, 0, 1, True),
    }
    assert not (tmp_path / "out").exists()


def test_after_the_run_nothing_is_left_and_it_says_how_many_models_have_a_circuit(finished: Path):
    plan = ie.Study(out=str(finished), **SETTINGS).plan()
    assert counts(plan) == {
        "measure": (6, 6, 0, False),
        "locate": (2, 2, 0, False),
        "follow": (3, 3, 0, False),
        "depend": (1, 1, 0, False),
        "compare": (0, 0, 0, False),
    }
    assert plan["reuses"].str.contains("recordings, ").any()


def test_a_changed_setting_is_said_to_recompute_what_it_does(finished: Path, monkeypatch):
    study = ie.Study(out=str(finished), **{**SETTINGS, "n_ablations": 4})
    planned = counts(study.plan())
    assert planned["measure"] == (6, 6, 0, False)
    assert [planned[stage][2:] for stage in ("locate", "follow", "depend")] == [(1, False), (3, True), (1, True)]
    computed: list[str] = []
    get = Cells.get

    def noted(self: Cells, stage: str, inputs: dict, compute):
        return get(self, stage, inputs, lambda: [computed.append(stage), compute()][1])

    monkeypatch.setattr(Cells, "get", noted)
    study.run()
    assert set(computed) == {"ablation", "runs_without", "dependence"}
    assert computed.count("runs_without") == 3


def test_several_workers_hold_as_many_models(finished: Path):
    study = ie.Study(out=str(finished), **SETTINGS)
    assert study.plan()["memory"].iloc[0] == "one model and up to 1 GiB"
    assert study.plan(workers=3)["memory"].iloc[0] == "3 × (one model and up to 1 GiB)"


def test_the_plan_in_lines_says_what_is_an_upper_bound(tmp_path: Path):
    lines = in_lines(ie.Study(out=str(tmp_path / "out"), **SETTINGS).plan()).splitlines()
    assert lines[0] == "measure: 6 of 6 to compute, 0 on disk"
    assert "follow: at most 6 of 6 to compute, 0 on disk" in lines
    assert lines[-1] == "memory: one model and up to 1 GiB"


def test_no_worker_is_no_plan(tmp_path: Path):
    with pytest.raises(InputError, match="workers=0: give at least one"):
        ie.Study(out=str(tmp_path / "out"), **SETTINGS).plan(workers=0)
