"""`list`: what there is."""

from typing import Annotated

import typer

from interp_emerge.cli._shared import SHELVES, AsJson, app, show
from interp_emerge.core.errors import InputError


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(SHELVES), autocompletion=lambda: list(SHELVES))],
    as_json: AsJson = False,
) -> None:
    """Print what there is: name, one line, source."""
    import pandas as pd

    if what not in SHELVES:
        raise InputError(f"list shows {', '.join(SHELVES)}, not {what!r}")
    rows = [
        {
            "name": name,
            "summary": getattr(item, "summary", None) or str(item.__doc__).splitlines()[0],
            "source": str(getattr(item, "source", "")),
        }
        for name, item in zip(SHELVES[what].names(), SHELVES[what], strict=True)
    ]
    show(pd.DataFrame(rows), as_json)
