"""What new processes make of the program that starts them.

A worker is a new Python, and multiprocessing has it import the program's main module again, so that it knows what the
program defined. In a script whose call is under `if __name__ == "__main__":` the import ends before the call. Any other
script would be run a second time by each worker, and one from standard input cannot be read again at all. Workers of
such programs start without it: they know the package, and nothing that the script registered with it.
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
"""What multiprocessing finds the main module by."""
NAME_OF_WORKERS = "Dask Worker process"


@contextmanager
def main_module_runs_once() -> Iterator[None]:
    """While open, new processes import the main module again only if it has come here under its guard."""
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
    """Raise unless this process may start others; a worker that has come back to the call that started it ends.

    Raises:
        InputError: this process was itself started by multiprocessing, in a way that allows it none.
        SystemExit: this is a worker that imports the main module.
    """
    here = multiprocessing.current_process()
    importing = getattr(here, "_inheriting", False)
    if importing and here.name.startswith(NAME_OF_WORKERS):
        raise SystemExit(1)  # the process that started it says what was wrong
    if importing or here.daemon:
        raise InputError(f"process {here.name!r} was started by multiprocessing and cannot start workers; take "
                         'workers=1 there, or put the call under `if __name__ == "__main__":`')  # fmt: skip


def _is_under_guard(main: ModuleType) -> bool:
    """Whether the module's code stands, right now, inside an `if` about its `__name__`; False if its file is unread."""
    try:
        tree = ast.parse(Path(getattr(main, "__file__", None) or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "__name__" in _names(node.test)]
    return any(node.lineno <= line <= (node.end_lineno or 0) for node in guards for line in _lines_that_run(main))


def _names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def _lines_that_run(main: ModuleType) -> list[int]:
    """Lines of the module's top level that the main thread, or this one, is inside of."""
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
