"""`check` and `doctor`: the integrity of checkpoints, and what this machine has."""

from pathlib import Path
from typing import Annotated

import typer

from interp_emerge import families
from interp_emerge.cli._shared import AsJson, Device, Dtype, app, listed, names_of, numbers, show, steps_of
from interp_emerge.core.errors import InputError

Checked = Annotated[
    str,
    typer.Argument(
        help="name of a family, a directory or file of models, or a model as FAMILY/SIZE/stepN/seedN",
        autocompletion=names_of(families.shelf),
    ),
]
FOUND = 1
"""Exit status if a test failed."""


@app.command()
def check(
    family: Checked,
    sizes: Annotated[str | None, typer.Option(help="sizes, separated by commas [all]")] = None,
    steps: Annotated[
        str | None, typer.Option(help="training steps, separated by commas; last may be one [all]")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="seeds, separated by commas [all]")] = None,
    device: Device = "",
    dtype: Dtype = "",
    disk_budget: Annotated[str, typer.Option(help="most disk that downloads may take, such as 20GB [all kept]")] = "",
    only: Annotated[str, typer.Option(help="rows to print: all, or failed")] = "all",
    out: Annotated[Path | None, typer.Option(help="file for the whole table: .csv or .parquet")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be loaded and downloaded")] = False,
    as_json: AsJson = False,
) -> None:
    """Test the integrity of checkpoints; exit status 1 if a test fails.

    Each is compared with its neighbours in training, and the last of a run with plain transformers.
    """
    from interp_emerge.core.files import require_writable
    from interp_emerge.core.spec import ModelSpec
    from interp_emerge.tables.io import require_table_name, save_table

    if only not in ("all", "failed"):
        raise InputError(f"--only {only!r} is not known; give all or failed")
    if out is not None:
        require_table_name(out)
        require_writable(out)
    chosen = {
        "sizes": listed(sizes) or (),
        "steps": steps_of(steps) or (),
        "seeds": () if seeds is None else numbers("seeds", seeds),
    }
    if family not in families.shelf.names() and not Path(family).exists() and "/step" in family:
        named = ModelSpec.parse(family)
        family, chosen = named.family, {"sizes": (named.size,), "steps": (named.step,), "seeds": (named.seed,)}
    given = families.load_family(family)
    if dry_run:
        show(families.plan_check(given, **chosen), as_json)
        return
    name = Path(f"check-{given.name}")
    disk = families.DiskBudget.of_run(name, families.read_size(disk_budget)) if disk_budget else None
    table = families.check(given, **chosen, device=device, dtype=dtype, disk=disk)
    if out is not None:
        save_table(table, out)
    failed = table["verdict"] == families.CheckVerdict.FAILED
    shown = table[failed] if only == "failed" else table
    if as_json or len(shown):
        show(shown, as_json)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in table["verdict"].value_counts().items())
    typer.echo(f"{counts}, of {len(table)} tests", err=as_json)
    if failed.any():
        raise typer.Exit(FOUND)


@app.command()
def doctor(
    family: Annotated[
        str | None,
        typer.Option(help="also say what of this family is cached", autocompletion=names_of(families.shelf)),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print versions, devices, caches, whether the hub can be reached, and which optional packages there are."""
    show(families.examine_machine(None if family is None else families.load_family(family)), as_json)
