"""`list`: the names in a registry."""

from typing import Annotated, Any

import typer

from interp_emerge.cli._shared import SHELVES, AsJson, app, show
from interp_emerge.core.errors import InputError
from interp_emerge.core.registry import Registry

LISTED = (*SHELVES, "metrics")


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(LISTED), autocompletion=lambda: list(LISTED))],
    as_json: AsJson = False,
) -> None:
    """Print the names in a registry, each with one line and its source."""
    import pandas as pd

    if what not in LISTED:
        raise InputError(f"cannot list {what!r}; list shows {', '.join(LISTED)}")
    rows = [
        {
            "name": name,
            "summary": getattr(item, "summary", None) or str(item.__doc__).splitlines()[0],
            **(columns_of_ability(item, names=as_json) if what == "abilities" else {}),
            "source": str(getattr(item, "source", "")),
        }
        for name, item in zip(registry_of(what).names(), registry_of(what), strict=True)
    ]
    show(pd.DataFrame(rows), as_json)


def columns_of_ability(ability: Any, *, names: bool) -> dict[str, Any]:
    """What the table of abilities says beside name, summary and source: templates by name, or their number."""
    return {
        "language": ability.language or "random tokens",
        "chance": round(ability.chance, 3),
        "templates": [*ability.templates] if names else len(ability.templates),
        "corruptions": ", ".join(ability.corruptions),
        "positions": ", ".join(ability.positions),
        "variables": ", ".join(ability.variables),
        "variations": ", ".join(ability.variations),
        "splits": "yes" if ability.chosen else "no",
        "needs": ability.requirements,
    }


def registry_of(what: str) -> Registry[Any]:
    """The registry of this name."""
    if what == "metrics":
        from interp_emerge.abilities.metrics import METRICS

        return METRICS
    return SHELVES[what]
