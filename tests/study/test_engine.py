"""A sweep over processes: the same tables to the byte, errors on one line, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import LocalCluster

import interp_emerge as ie
from interp_emerge import families
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.study import engine
from tests.studies import SETTINGS, MadeOnce, small_study

pytestmark = pytest.mark.slow


def files_of(out: Path) -> dict[str, bytes]:
    """The study's tables, circuits and attention patterns, and its cells."""
    folders = ("tables", "circuits", "attention", "cells")
    found = (path for folder in folders for path in (out / folder).rglob("*.*"))
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def at_once(made_once: MadeOnce) -> dict[str, bytes]:
    return files_of(made_once("small study", small_study))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    options: dict[str, Any] = {"threads_per_worker": 2, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=1, **options) as cluster:
        yield cluster


def command(out: Path, *options: str) -> list[str]:
    given = {name: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in SETTINGS.items()}
    named = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    return [sys.executable, "-m", "interp_emerge", "run", *named, "--out", str(out), *options]


def test_spread_over_two_processes_and_killed_it_goes_on_and_every_file_is_the_same(
    tmp_path: Path, at_once: dict[str, bytes]
):
    """Every cell is made by a worker, before or after the kill."""
    out = tmp_path / "out"
    run = subprocess.Popen(command(out, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len([*out.glob("cells/*/*")]) < 12:
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    children = psutil.Process(run.pid).children(recursive=True)
    assert len(children) >= 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not psutil.wait_procs(children, timeout=30)[1]
    assert not (out / "report.html").exists()
    ie.Study(out=str(out), **SETTINGS).run(workers=2)
    assert files_of(out) == at_once


def test_interrupted_by_hand_it_leaves_no_process_and_no_half_written_file(tmp_path: Path):
    out = tmp_path / "out"
    # A process that was started to ignore interrupts, as by nohup, would hand that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    run = subprocess.Popen(command(out, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    while len([*out.glob("cells/*/*")]) < 12:
        assert run.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.05)
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) == 130
    assert not psutil.wait_procs(children, timeout=30)[1]
    assert not [*out.rglob(".*.tmp")]


def test_a_running_scheduler_does_it_too(tmp_path: Path, at_once: dict[str, bytes], cluster: Any):
    ie.Study(out=str(tmp_path / "out"), **SETTINGS).run(scheduler=cluster.scheduler_address)
    assert files_of(tmp_path / "out") == at_once


def test_workers_with_other_packages_are_refused(tmp_path: Path, cluster: Any, monkeypatch):
    monkeypatch.setattr(engine, "package_versions", lambda: {"torch": "0"})
    study = ie.Study(out=str(tmp_path / "out"), **SETTINGS)
    with pytest.raises(InputError, match=r"worker tcp.* does not have the packages of this process: .*'torch': '0'"):
        study.run(scheduler=cluster.scheduler_address)


def test_an_error_in_a_worker_keeps_its_type_and_finished_cells_stay(tmp_path: Path):
    bundled = Path(families.__file__).parent / "miniature_weights"
    family = tmp_path / "family"
    for step in ("step0", "step10", "step30"):
        shutil.copytree(bundled / "3k" / step, family / "3k" / step)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled / name, family)
    (family / "3k" / "step30" / "model.safetensors").write_bytes(b"damaged")
    study = ie.Study(family=str(family), out=str(tmp_path / "out"), n_measured=8, n_pairs=4, beside=())
    with pytest.raises(ModelError, match=r"step30.* cannot be loaded") as met:
        study.run(workers=2)
    assert "\n" not in str(met.value)
    assert [*(tmp_path / "out" / "cells" / "measure").iterdir()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers=0: give at least one"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "give one or the other"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no scheduler with workers answers at tcp://127.0.0.1:1"),
    ],
)
def test_impossible_workers_are_refused_before_anything_is_computed(
    options: dict, message: str, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(engine, "SECONDS_TO_ANSWER", 2)
    with pytest.raises(InputError, match=message):
        ie.Study(out=str(tmp_path / "out"), **SETTINGS).run(**options)
    assert not (tmp_path / "out" / "cells").exists()


PROGRAM = """
import sys
import interp_emerge as ie
from interp_emerge.study.engine import sweep
from interp_emerge.study.rounds import MEASURE
from interp_emerge.study.stages.abilities import ABILITIES
from interp_emerge.study.stages.base import Results

def measured(out):
    study = ie.Study(sizes=("3k",), steps="last", seeds=(0,), beside=(), n_measured=8, n_pairs=4, out=out)
    study._claim()
    results = Results(study._work())
    with sweep(results.work, workers=2) as each:
        each(MEASURE, study.grid.models, results)
    return [tuple(at) for at in results.of(ABILITIES)]

"""
CALL = "print(measured('out'), flush=True)"


@pytest.mark.parametrize(
    ("way", "call"),
    [("script", CALL), ("standard input", f"if __name__ == '__main__':\n    {CALL}")],
    ids=["script without a guard", "standard input"],
)
def test_workers_start_from_any_program_and_leave_no_process(tmp_path: Path, way: str, call: str):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + call)
    arguments = [sys.executable, str(path)] if way == "script" else [sys.executable, "-"]
    (code, printed, errors), left = ended(arguments, path.read_text(), tmp_path)
    assert (code, printed) == (0, "[('3k', 5000, 0)]\n"), errors
    assert "Traceback" not in errors and len(errors.splitlines()) < 5, errors
    assert not left


def test_a_script_whose_guard_guards_nothing_is_refused_in_one_line_and_leaves_no_process(tmp_path: Path):
    call = f"if __name__:\n    try:\n        {CALL}\n    except ie.InterpEmergeError as error:\n        print(error)"
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + call)
    (code, printed, errors), left = ended([sys.executable, str(path)], "", tmp_path)
    assert (code, errors) == (0, "")
    assert printed.startswith("2 workers cannot be started (Nanny failed to start), most likely because each imports")
    assert 'put the call under `if __name__ == "__main__":`' in printed
    assert printed.endswith("or take workers=1\n")
    assert not left


def ended(arguments: list[str], given: str, where: Path) -> tuple[tuple[int, str, str], list[psutil.Process]]:
    """Exit status and output of a program, without bars of progress, and its processes that go on after it."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    run = subprocess.Popen(arguments, cwd=where, text=True, start_new_session=True, **pipes)
    printed, errors = run.communicate(given, timeout=400)
    errors = "".join(
        line for line in errors.splitlines(keepends=True) if line.strip() and not line.startswith("measure:")
    )
    left = [one for one in psutil.process_iter() if one.pid != run.pid and _session_of(one.pid) == run.pid]
    return (run.returncode, printed, errors), psutil.wait_procs(left, timeout=30)[1]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1
