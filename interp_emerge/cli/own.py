"""`ability check`: what share of a file of prompt pairs the tokenizers of some families can express."""

import json
import re
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp_emerge import families
from interp_emerge.cli._shared import AsJson, FirstToken, app, first_token, help_of, names_of, show
from interp_emerge.core.errors import counted

if TYPE_CHECKING:
    from interp_emerge.abilities.own.checking import CheckedRows

SHOWN = 40
"""Largest number of reasons why rows fail that are printed."""
ability_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(ability_app, name="ability", help="Look at a file of prompt pairs.")


@ability_app.callback()
def about() -> None:
    """Look at a file of prompt pairs."""


@ability_app.command()
def check(
    file: Annotated[Path, typer.Argument(help=".jsonl or .csv file of prompt pairs")],
    family: Annotated[
        list[str] | None,
        typer.Option(help=f"{help_of('family')}; may be given several times", autocompletion=names_of(families.shelf)),
    ] = None,
    prepend_bos: FirstToken = None,
    as_json: AsJson = False,
) -> None:
    """Print what share of the rows the tokenizer of each family can express, and which rows fail and why.

    The exit status is 2 if no tokenizer can express any row.
    """
    import pandas as pd

    from interp_emerge.abilities.own.checking import check_rows
    from interp_emerge.abilities.own.file_ability import ability_from_file

    ability = ability_from_file(file)
    chosen = [families.load_family(name) for name in family or ("miniature",)]
    found = []
    for one in chosen:
        model = one.load(one.sizes[0], "last", one.seeds(one.sizes[0])[0], prepend_bos=first_token(prepend_bos))
        found.append(check_rows(ability, model, name=one.name))
        del model
    shares = pd.concat([one.shares for one in found], ignore_index=True)
    failures = pd.concat([one.failures for one in found], ignore_index=True)
    chance = None if isnan(ability.chance) else ability.chance
    if as_json:
        tables = {"shares": shares, "failures": failures}
        records = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
        missing = {one.name: [*rows.missing] for one, rows in zip(chosen, found, strict=True)}
        everything = {"ability": ability.key, "chance": chance, **records, "missing": missing}
        typer.echo(json.dumps(everything, indent=1, ensure_ascii=False))
    else:
        given = "not given (a study needs it)" if chance is None else f"{chance:g}, as given"
        typer.echo(f"{ability.key}: {ability.summary}; chance level {given}\n")
        show(shares, as_json=False)
        for name, rows in zip([one.name for one in chosen], found, strict=True):
            typer.echo("\n".join(_reasons(name, rows)), nl=len(rows.failures) > 0)
    if not shares["expressible"].any():
        raise typer.Exit(2)


def _reasons(name: str, found: "CheckedRows") -> list[str]:
    """Why rows fail: the words that the tokenizer lacks, and each other reason with the first line that has it."""
    lines = []
    if found.missing:
        shown = f"; `interp-emerge list words --family {name}` prints those that are"
        lines.append(f"{name}: not in the vocabulary: {', '.join(found.missing)}{shown}")
    alike: dict[str, list[tuple[int, str]]] = {}
    for row in found.failures.itertuples():
        reason = re.sub(r"""('[^']*'|"[^"]*")( \([^)]*\))?""", "…", str(row.why))
        alike.setdefault(reason, []).append((int(str(row.line)), str(row.why)))
    for rows in [*alike.values()][:SHOWN]:
        more = f" (and {counted(len(rows) - 1, 'more row')})" if len(rows) > 1 else ""
        lines.append(f"{name}, line {rows[0][0]}: {rows[0][1]}{more}")
    if len(alike) > SHOWN:
        lines.append(f"... and {counted(len(alike) - SHOWN, 'other reason')}; --json prints all")
    return lines
