"""Whether new processes import the main module of the program that starts them.

A worker is a new Python process, and multiprocessing makes it import the program's main module, so that the worker
knows what the program defined. If the script calls `run` under `if __name__ == "__main__":`, that import stops before
the call. Every worker would run any other script a second time, and a script from standard input cannot be read
again. Workers of such programs start without the main module: they know this package, but nothing that the script
registered with it.
"""

import ast
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType

from interp_emerge.core.errors import InputError

HIDDEN = ("__file__", "__spec__")
"""Attributes by which multiprocessing finds the main module."""
NAME_OF_WORKERS = "Dask Worker process"


@contextmanager
def main_module_runs_once() -> Iterator[None]:
    """While open, new processes import the main module only if the call stands under its guard."""
    main = sys.modules["__main__"]
    if _is_under_guard(main):
        yield
        return
    stand_in = ModuleType("__main__")
    vars(stand_in).update({name: value for name, value in vars(main).items() if name not in HIDDEN})
    sys.modules["__main__"] = stand_in
    try:
        yield
    finally:
        if sys.modules["__main__"] is stand_in:
            sys.modules["__main__"] = main


def require_new_processes_possible() -> None:
    """Raise unless this process may start others; a worker that reaches the call that started it ends.

    Raises:
        InputError: this process was started by multiprocessing in a way that does not allow it to start others.
        SystemExit: this is a worker that imports the main module.
    """
    here = multiprocessing.current_process()
    importing = getattr(here, "_inheriting", False)
    if importing and here.name.startswith(NAME_OF_WORKERS):
        raise SystemExit(1)  # the process that started it reports the reason
    if importing or here.daemon:
        raise InputError(f"process {here.name!r} was started by multiprocessing and cannot start workers; use "
                         'workers=1 there, or put the call under `if __name__ == "__main__":`')  # fmt: skip


def _is_under_guard(main: ModuleType) -> bool:
    """Whether the module is now running code under an `if` on its `__name__`; False if its file cannot be read."""
    try:
        tree = ast.parse(Path(getattr(main, "__file__", None) or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "__name__" in _names(node.test)]
    return any(node.lineno <= line <= (node.end_lineno or 0) for node in guards for line in _lines_that_run(main))


def _names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def _lines_that_run(main: ModuleType) -> list[int]:
    """Lines of the module's top level that the main thread and this thread are running."""
    frames, file = sys._current_frames(), Path(main.__file__ or "").name
    lines = []
    for thread in {threading.get_ident(), threading.main_thread().ident}:
        frame: FrameType | None = frames.get(thread or 0)
        while frame is not None:
            code = frame.f_code
            if code.co_name == "<module>" and frame.f_globals is vars(main) and Path(code.co_filename).name == file:
                lines.append(frame.f_lineno)
            frame = frame.f_back
    return lines
