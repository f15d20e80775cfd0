"""The command line: one subcommand for each stage, with no logic of its own.

Data goes to standard output, progress and warnings to standard error. An error that a user can act on is one line and
exit status 2. Everything heavy is imported by the command that needs it.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from interp_emerge.cli import circuits, listing, measuring, studies
from interp_emerge.cli._shared import SHELVES, app
from interp_emerge.core.errors import InterpEmergeError

__all__ = ["SHELVES", "app", "circuits", "listing", "main", "measuring", "studies"]


INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def main() -> None:
    """Run the command line; errors that a user can act on become one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except InterpEmergeError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted: what is finished stays on disk; run the command again to go on", file=sys.stderr)  # noqa: T201
        raise
    except BrokenPipeError:
        # The reader of a pipe has gone; what is left in the buffer must not raise again when Python exits.
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
