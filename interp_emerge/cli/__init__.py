"""The command line: one subcommand for each stage; all logic is in the package.

Data goes to standard output, progress and warnings to standard error. An error that a user can correct is printed as
one line, with exit status 2. Slow imports are made only by the commands that need them.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from interp_emerge.cli import attend, checking, circuits, listing, measuring, own, probing, studies, training
from interp_emerge.cli._shared import SHELVES, app
from interp_emerge.core.errors import InterpEmergeError

__all__ = [
    "SHELVES",
    "app",
    "attend",
    "checking",
    "circuits",
    "listing",
    "main",
    "measuring",
    "own",
    "probing",
    "studies",
    "training",
]


INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def main() -> None:
    """Run the command line; an error that a user can correct is printed as one line, with exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except InterpEmergeError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted: finished results stay on disk; run the command again to continue", file=sys.stderr)  # noqa: T201
        raise
    except BrokenPipeError:
        # The reader of the pipe has closed it; the rest of the buffer must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _print_version(asked: bool | None) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("interp-emerge"))
        raise typer.Exit


Version = Annotated[
    bool | None, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
]


@app.callback()
def common(version: Version = None) -> None:
    """Find the circuit behind an ability, and watch it form as models grow and train."""
