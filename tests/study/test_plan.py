"""The plan of a study announces what is then computed."""

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
    """A finished study, in its own directory."""
    return shutil.copytree(made_once("small study", small_study), tmp_path_factory.mktemp("plan") / "out")


def counts(plan: pd.DataFrame) -> dict[str, tuple[int, int, int, bool]]:
    columns = ("models", "done", "compute", "at_most")
    return {row["stage"]: tuple(row[column] for column in columns) for row in plan.to_dict("records")}


def test_before_the_first_run_all_is_to_compute_and_circuits_are_an_upper_bound(tmp_path: Path, monkeypatch):
    study = ie.Study(out=str(tmp_path / "out"), **SETTINGS)
    monkeypatch.setattr(type(study.family), "load", lambda *_a, **_k: pytest.fail("a model was loaded"))
    plan = study.plan()
    assert [*plan] == [*COLUMNS]
    located = {"node_scores": False, "roles": False, "edge_scores": True, "circuit": True, "ablation": True}
    assert counts(plan) == {
        "abilities": (6, 0, 6, False),
        "probing": (6, 0, 6, False),
        **{stage: (2, 0, 2, at_most) for stage, at_most in located.items()},
        "attention": (6, 0, 6, True),
        "formation": (6, 0, 6, True),
        "without_parts": (6, 0, 6, True),
        "dependence": (2, 0, 2, True),
        "comparison": (1, 0, 1, True),
    }
    assert not (tmp_path / "out").exists()


def test_after_the_run_nothing_is_left_to_compute(finished: Path):
    plan = ie.Study(out=str(finished), **SETTINGS).plan()
    assert counts(plan) == {
        "abilities": (6, 6, 0, False),
        "probing": (6, 6, 0, False),
        "node_scores": (2, 2, 0, False),
        "roles": (2, 2, 0, False),
        **dict.fromkeys(("edge_scores", "circuit", "ablation"), (1, 1, 0, False)),
        **dict.fromkeys(("attention", "formation", "without_parts"), (3, 3, 0, False)),
        "dependence": (1, 1, 0, False),
        "comparison": (0, 0, 0, False),
    }
    assert plan["reuses"].str.contains("recordings, ").any()
    left_out = plan.set_index("stage")["left_out"]
    assert left_out["circuit"].startswith("1: the model lacks the ability (accuracy 0.")
    assert left_out["roles"] == ""


def test_a_changed_setting_recomputes_the_stages_that_the_plan_announces(finished: Path, monkeypatch):
    study = ie.Study(out=str(finished), **{**SETTINGS, "n_ablations": 4})
    planned = counts(study.plan())
    assert planned["abilities"] == (6, 6, 0, False)
    waiting = {stage: count for stage, (_, _, count, _) in planned.items() if count}
    assert waiting == {"ablation": 1, "without_parts": 3, "dependence": 1}
    computed: list[str] = []
    get = Cells.get

    def counted(self: Cells, stage: str, inputs: dict, compute):
        return get(self, stage, inputs, lambda: [computed.append(stage), compute()][1])

    monkeypatch.setattr(Cells, "get", counted)
    study.run()
    assert set(computed) == {"ablation", "runs_without", "dependence"}
    assert computed.count("runs_without") == 3


def test_each_worker_holds_one_model(finished: Path):
    study = ie.Study(out=str(finished), **SETTINGS)
    assert study.plan()["memory"].iloc[0] == "one model and up to 1 GiB"
    assert study.plan(workers=3)["memory"].iloc[0] == "3 × (one model and up to 1 GiB)"


def test_the_plan_as_text_marks_upper_bounds(tmp_path: Path):
    lines = in_lines(ie.Study(out=str(tmp_path / "out"), **SETTINGS).plan()).splitlines()
    assert lines[0] == "measure, abilities: 6 of 6 to compute, 0 on disk"
    assert "follow, formation: at most 6 of 6 to compute, 0 on disk" in lines
    assert lines[-1] == "memory: one model and up to 1 GiB"


def test_a_plan_needs_a_worker(tmp_path: Path):
    with pytest.raises(InputError, match="workers=0: give at least one"):
        ie.Study(out=str(tmp_path / "out"), **SETTINGS).plan(workers=0)
