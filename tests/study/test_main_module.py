"""New processes and the program that starts them: it runs once, however it was started."""

import multiprocessing
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.study import _main_module

START = """
import multiprocessing, threading
from interp_emerge.study._main_module import main_module_runs_once
print("imported", flush=True)

def start():
    with main_module_runs_once():
        child = multiprocessing.get_context("spawn").Process(target=print, args=("started",))
        child.start()
        child.join()
"""
UNGUARDED = f"{START}\nstart()\n"
GUARDED = f'{START}\nif __name__ == "__main__":\n    start()\n'


def run(*arguments: str, given: str = "", where: Path) -> list[str]:
    """What a program prints; it may say nothing on its error output."""
    done = subprocess.run([sys.executable, *arguments], input=given, capture_output=True, text=True, cwd=where)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("text", [UNGUARDED, GUARDED], ids=["without a guard", "with a guard"])
@pytest.mark.parametrize("way", ["standard input", "-c"])
def test_a_program_that_is_no_file_starts_processes(tmp_path: Path, way: str, text: str):
    arguments, given = (["-"], text) if way == "standard input" else (["-c", text], "")
    assert run(*arguments, given=given, where=tmp_path) == ["imported", "started"]


@pytest.mark.parametrize(
    ("call", "imports"),
    [
        ("start()", 1),
        ("def main():\n    start()\nmain()", 1),
        ("if not __debug__:\n    pass\nelse:\n    start()", 1),
        ('if __name__ == "__main__":\n    pass\nstart()', 1),
        ('if __name__ != "__main__":\n    raise SystemExit\nstart()', 1),
        ("thread = threading.Thread(target=start)\nthread.start()\nthread.join()", 1),
        ('if __name__ == "__main__":\n    start()', 2),
        ('def main():\n    start()\nif "__main__" == __name__:\n    main()', 2),
        ('try:\n    if __name__ == "__main__":\n        start()\nfinally:\n    pass', 2),
        ('if __name__ == "__main__":\n    t = threading.Thread(target=start)\n    t.start()\n    t.join()', 2),
    ],
)
@pytest.mark.parametrize("way", ["path", "-m"])
def test_a_script_is_imported_again_only_if_it_has_come_to_its_guard(tmp_path: Path, call: str, imports: int, way: str):
    (tmp_path / "program.py").write_text(f"{START}\n{call}\n")
    arguments = ["program.py"] if way == "path" else ["-m", "program"]
    assert run(*arguments, where=tmp_path) == ["imported"] * imports + ["started"]


def test_a_script_that_is_run_by_another_counts_as_what_it_is(tmp_path: Path):
    (tmp_path / "program.py").write_text(UNGUARDED)
    by = 'import runpy\nif __name__ == "__main__":\n\n\n\n\n\n    runpy.run_path("program.py", run_name="__main__")\n'
    (tmp_path / "by.py").write_text(by)
    assert run("by.py", where=tmp_path) == ["imported", "started"]


def test_the_main_module_is_put_back_and_what_it_defines_stays_within_reach():
    before = sys.modules["__main__"]
    there = None
    with suppress(KeyError), _main_module.main_module_runs_once():
        there = {**vars(sys.modules["__main__"])}
        raise KeyError
    assert there is not None and there.keys() >= {*vars(before)} - {"__file__"}
    assert sys.modules["__main__"] is before


def test_a_process_of_a_pool_is_refused_and_a_worker_that_comes_back_ends_in_silence(monkeypatch):
    here = multiprocessing.current_process()
    _main_module.require_new_processes_possible()
    monkeypatch.setattr(here, "_inheriting", True, raising=False)
    with pytest.raises(InputError, match=r"'MainProcess' was started by multiprocessing and cannot start workers"):
        _main_module.require_new_processes_possible()
    monkeypatch.setattr(here, "_name", "Dask Worker process (from Nanny)")
    with pytest.raises(SystemExit):
        _main_module.require_new_processes_possible()


def test_a_pool_of_processes_may_not_start_workers(tmp_path: Path):
    program = """
        import multiprocessing
        from interp_emerge.core.errors import InputError
        from interp_emerge.study._main_module import require_new_processes_possible

        def ask(_):
            try:
                require_new_processes_possible()
            except InputError as error:
                return str(error)

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(ask, [0])[0])
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    assert "use workers=1 there" in " ".join(run("program.py", where=tmp_path))
