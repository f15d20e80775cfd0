"""`run` and `report`: run a study, build a report."""

from pathlib import Path
from typing import Annotated

import typer

from interp_emerge import abilities, families, patching, probing
from interp_emerge.cli._shared import (
    AsJson,
    FirstToken,
    app,
    choices_of,
    first_token,
    help_of,
    listed,
    names_in,
    names_of,
    numbers,
    show,
    steps_of,
)

Family = Annotated[str | None, typer.Option(help=help_of("family"), autocompletion=names_of(families.shelf))]
Ability = Annotated[str | None, typer.Option(help=help_of("ability"), autocompletion=names_of(abilities.shelf))]


@app.command()
def run(
    study: Annotated[Path | None, typer.Argument(help="study file; options on the command line override it")] = None,
    family: Family = None,
    ability: Ability = None,
    beside: Annotated[str | None, typer.Option(help=help_of("beside"))] = None,
    chance: Annotated[float | None, typer.Option(help=help_of("chance"))] = None,
    method: Annotated[str | None, typer.Option(help=help_of("method"), autocompletion=names_of(patching.shelf))] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help=f"{help_of('metric')}; `list metrics` shows them, and a study takes all but accuracy and kl",
            autocompletion=names_in("metrics"),
        ),
    ] = None,
    sizes: Annotated[str | None, typer.Option(help=f"{help_of('sizes')}; separated by commas")] = None,
    steps: Annotated[str | None, typer.Option(help=help_of("steps"))] = None,
    seeds: Annotated[str | None, typer.Option(help=f"{help_of('seeds')}; separated by commas")] = None,
    axis: Annotated[str | None, typer.Option(help=help_of("axis"), autocompletion=choices_of("axis"))] = None,
    out: Annotated[str | None, typer.Option(help=help_of("out"))] = None,
    seed: Annotated[int | None, typer.Option(help=help_of("seed"))] = None,
    n_measured: Annotated[int | None, typer.Option(help=help_of("n_measured"))] = None,
    n_pairs: Annotated[int | None, typer.Option(help=help_of("n_pairs"))] = None,
    n_random: Annotated[int | None, typer.Option(help=help_of("n_random"))] = None,
    n_resamples: Annotated[int | None, typer.Option(help=help_of("n_resamples"))] = None,
    n_ablations: Annotated[int | None, typer.Option(help=help_of("n_ablations"))] = None,
    n_probed: Annotated[int | None, typer.Option(help=help_of("n_probed"))] = None,
    probe: Annotated[str | None, typer.Option(help=help_of("probe"), autocompletion=names_of(probing.shelf))] = None,
    intervention: Annotated[str | None, typer.Option(help=help_of("intervention"))] = None,
    probed_layers: Annotated[int | None, typer.Option(help=help_of("probed_layers"))] = None,
    steps_of_integration: Annotated[int | None, typer.Option(help=help_of("steps_of_integration"))] = None,
    local_search: Annotated[
        bool | None, typer.Option("--local-search/--no-local-search", help=help_of("local_search"), show_default="yes")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=help_of("quick"))] = False,
    target: Annotated[float | None, typer.Option(help=help_of("target"))] = None,
    device: Annotated[str | None, typer.Option(help=help_of("device"))] = None,
    dtype: Annotated[str | None, typer.Option(help=help_of("dtype"))] = None,
    prepend_bos: FirstToken = None,
    threads: Annotated[int | None, typer.Option(help=help_of("threads"))] = None,
    disk_budget: Annotated[str | None, typer.Option(help=help_of("disk_budget"))] = None,
    evict_cached: Annotated[bool | None, typer.Option("--evict-cached", help=help_of("evict_cached"))] = None,
    workers: Annotated[int, typer.Option(help="number of processes on this machine that share the work")] = 1,
    scheduler: Annotated[
        str, typer.Option(help="address of a dask scheduler whose workers do the work, such as tcp://host:8786")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print what would be computed and reused, and stop")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study from measuring to the report; print the findings to standard error and the path of the report."""
    given = {
        "family": family,
        "ability": ability,
        "chance": chance,
        "method": method,
        "metric": metric,
        "axis": axis,
        "out": out,
        "seed": seed,
        "n_measured": n_measured,
        "n_pairs": n_pairs,
        "n_random": n_random,
        "n_resamples": n_resamples,
        "n_ablations": n_ablations,
        "n_probed": n_probed,
        "probe": probe,
        "intervention": intervention,
        "probed_layers": probed_layers,
        "steps_of_integration": steps_of_integration,
        "local_search": local_search,
        "quick": quick or None,
        "target": target,
        "device": device,
        "threads": threads,
        "disk_budget": disk_budget,
        "evict_cached": evict_cached,
        "dtype": dtype,
        "prepend_bos": first_token(prepend_bos),
        "beside": listed(beside),
        "sizes": listed(sizes),
        "steps": steps_of(steps, alone=("spaced",)),
        "seeds": None if seeds is None else numbers("seeds", seeds),
    }
    from interp_emerge.study.study import Study

    options = {name: value for name, value in given.items() if value is not None}
    chosen = Study.load(study, **options) if study is not None else Study(**options)
    if dry_run:
        from interp_emerge.study.plan import in_lines

        planned = chosen.plan(workers=workers)
        if as_json:
            show(planned, as_json)
            return
        said = {"time": chosen.expected_time(), "prompts": chosen.first_token(), "directory": chosen.what_is_replaced()}
        lines = [in_lines(planned), chosen.downloads(), *(f"{name}: {text}" for name, text in said.items() if text)]
        typer.echo("\n".join(filter(None, lines)))
    else:
        if workers == 1 and not scheduler and (said := chosen.expected_time()):
            typer.echo(f"Expected to take {said}.", err=True)
        page = chosen.run(workers=workers, scheduler=scheduler)
        typer.echo("\n".join(chosen.findings()), err=True)
        typer.echo(page)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="directory of a study that has run, or a folder that holds several")],
    screenshot: Annotated[
        Path | None, typer.Option(help="also write a PNG of the page's beginning here; needs Chromium")
    ] = None,
    at: Annotated[
        str, typer.Option(help="what the picture shows, as the page's address has it after #: size=560k&step=500")
    ] = "",
) -> None:
    """Build the report again from the tables of a study; of a folder of studies, an index page with a row for each."""
    from interp_emerge.report import build_index, build_report, studies_in

    several = not (run / "provenance.json").is_file() and studies_in(run)
    page = build_index(run) if several else build_report(run)
    typer.echo(page)
    if screenshot is not None:
        from interp_emerge.report.screenshot import screenshot as take

        typer.echo(take(page, screenshot, at=at))
