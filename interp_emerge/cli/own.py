"""`ability check`: what share of a file of prompt pairs the tokenizers of some families can express."""

import json
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from interp_emerge import families
from interp_emerge.cli._shared import AsJson, FirstToken, app, first_token, help_of, names_of, show

SHOWN = 40
"""Largest number of rows that are printed with the reason why they fail."""
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
    """Print what share of the rows the tokenizer of each family can express, and which rows fail and why."""
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
        typer.echo(json.dumps({"ability": ability.key, "chance": chance, **records}, indent=1, ensure_ascii=False))
        return
    given = "not given (a study needs it)" if chance is None else f"{chance:g}, as given"
    typer.echo(f"{ability.key}: {ability.summary}; chance level {given}\n")
    show(shares, as_json=False)
    for one in failures.head(SHOWN).itertuples():
        typer.echo(f"{one.tokenizer}, line {one.line}: {one.why}")
    if len(failures) > SHOWN:
        typer.echo(f"... and {len(failures) - SHOWN} more; --json prints all")
