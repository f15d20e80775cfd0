"""Studies that are run again: after a kill, with a changed setting, with an invalid setting."""

import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.study.earlier import free_name
from tests import studies

SMALL: dict[str, Any] = {"n_measured": 32, "n_pairs": 16, "n_random": 10, "n_ablations": 4, "steps_of_integration": 2}


@pytest.mark.slow
def test_a_changed_setting_recomputes_only_what_depends_on_it(made_once: studies.MadeOnce, tmp_path: Path) -> None:
    out = shutil.copytree(made_once("small study", studies.small_study), tmp_path / "out")
    before = set((out / "cells").rglob("*.*"))
    studies.run(out, **{**studies.SETTINGS, "n_random": 6})
    new = set((out / "cells").rglob("*.*")) - before

    assert [path.parent.name for path in new] == ["evaluation"]


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_tables_of_an_undisturbed_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(SMALL, sizes=("7k", "25k"), steps=(0, 750, 5000), seeds=(0,))
    processes = studies.ready_processes()

    def start(name: str) -> Any:
        process = processes.Process(target=studies.run, args=(tmp_path / name,), kwargs=settings)
        process.start()
        return process

    def ends_well(name: str) -> bool:
        process = start(name)
        process.join()
        return process.exitcode == 0

    def n_cells(out: Path) -> int:
        return sum(1 for _ in (out / "cells").rglob("*.*"))

    assert ends_well("undisturbed")
    chance = random.Random(0)
    share = n_cells(tmp_path / "undisturbed") // 10
    for _ in range(10):
        until = n_cells(tmp_path / "killed") + chance.randint(1, share)
        process = start("killed")
        while n_cells(tmp_path / "killed") < until:
            assert process.is_alive(), "the run ended before it could be killed"
            time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.join()
    assert ends_well("killed")

    for path in sorted((tmp_path / "undisturbed" / "tables").iterdir()):
        assert path.read_bytes() == (tmp_path / "killed" / "tables" / path.name).read_bytes(), path.name
    assert not list((tmp_path / "killed").rglob("*.tmp"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"family": "minature"}, "did you mean 'miniature'"),
        ({"ability": "inductoin"}, "did you mean 'induction'"),
        ({"method": "eap_gi"}, "did you mean 'eap_ig'"),
        ({"method": "activation_patching"}, "scores edges"),
        ({"metric": "logit_dif"}, "did you mean 'logit_diff'"),
        ({"sizes": ("26k",)}, "did you mean '25k'"),
        ({"steps": (751,)}, "did you mean '750'"),
        ({"seeds": (9,)}, "unknown seed"),
        ({"n_pair": 3}, "did you mean 'n_pairs'"),
        ({"n_pairs": 1}, "n_pairs = 1 is not valid"),
        ({"beside": ("markof",)}, "did you mean 'markov'"),
    ],
)
def test_an_invalid_setting_is_named(fields: dict, message: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.Study(out=str(out), **fields).run()
    assert not out.exists(), "nothing is half-written"


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "\xff"])
def test_a_damaged_record_in_a_directory_is_one_clear_line(text: str, tmp_path: Path) -> None:
    study = ie.Study(family="miniature", ability="induction", sizes=("3k",), steps=("last",), out=str(tmp_path))
    (tmp_path / "provenance.json").write_text(text)
    (tmp_path / "study.json").write_bytes(text.encode("latin-1"))
    assert not study._is_finished()
    with pytest.raises(InputError, match=r"study\.json is damaged, .*choose another --out") as refused:
        study.plan()
    assert "\n" not in str(refused.value)


def test_an_earlier_report_is_kept_under_a_name_that_nothing_has(tmp_path: Path) -> None:
    (tmp_path / "report-1.html").symlink_to(tmp_path / "gone")
    (tmp_path / "report-2.html").mkdir()
    assert free_name(tmp_path / "report.html") == tmp_path / "report-3.html"
