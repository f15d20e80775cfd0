"""The command line: one subcommand for each stage, with no logic of its own.

Data goes to standard output, progress and warnings to standard error. An error that a user can act on is one line and
exit status 2. Everything heavy is imported by the command that needs it.
"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp_emerge import abilities, families, figures, patching
from interp_emerge.core.errors import InputError, InterpEmergeError, UnknownNameError
from interp_emerge.core.registry import Shelf
from interp_emerge.sweeps.settings import StudySettings

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
SHELVES: dict[str, Shelf] = {
    "families": families.shelf,
    "abilities": abilities.shelf,
    "methods": patching.shelf,
    "figures": figures.shelf,
}


def main() -> None:
    """Run the command line; errors that a user can act on become one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except InterpEmergeError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe has gone; what is left in the buffer must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _names(shelf: Shelf):
    return lambda incomplete: [name for name in shelf.names() if name.startswith(incomplete)]


def _help(field: str) -> str:
    described = StudySettings.model_fields[field]
    default = described.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{described.description}{f' [{shown}]' if shown else ''}"


Family = Annotated[str | None, typer.Option(help=_help("family"), autocompletion=_names(families.shelf))]
Ability = Annotated[str | None, typer.Option(help=_help("ability"), autocompletion=_names(abilities.shelf))]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Seed = Annotated[int, typer.Option(help="seed of the training run")]
Step = Annotated[str, typer.Option(help="training step, or 'last'")]


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


@app.command()
def run(
    study: Annotated[Path | None, typer.Argument(help="study file; options given beside it win")] = None,
    family: Family = None,
    ability: Ability = None,
    beside: Annotated[str | None, typer.Option(help=_help("beside"))] = None,
    method: Annotated[str | None, typer.Option(help=_help("method"), autocompletion=_names(patching.shelf))] = None,
    metric: Annotated[str | None, typer.Option(help=_help("metric"))] = None,
    sizes: Annotated[str | None, typer.Option(help=f"{_help('sizes')}; commas between")] = None,
    steps: Annotated[str | None, typer.Option(help=_help("steps"))] = None,
    seeds: Annotated[str | None, typer.Option(help=f"{_help('seeds')}; commas between")] = None,
    out: Annotated[str | None, typer.Option(help=_help("out"))] = None,
    seed: Annotated[int | None, typer.Option(help=_help("seed"))] = None,
    n_measured: Annotated[int | None, typer.Option(help=_help("n_measured"))] = None,
    n_pairs: Annotated[int | None, typer.Option(help=_help("n_pairs"))] = None,
    n_random: Annotated[int | None, typer.Option(help=_help("n_random"))] = None,
    n_ablations: Annotated[int | None, typer.Option(help=_help("n_ablations"))] = None,
    steps_of_integration: Annotated[int | None, typer.Option(help=_help("steps_of_integration"))] = None,
    target: Annotated[float | None, typer.Option(help=_help("target"))] = None,
    device: Annotated[str | None, typer.Option(help=_help("device"))] = None,
    dtype: Annotated[str | None, typer.Option(help=_help("dtype"))] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be computed, and stop")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study from measuring to the report, and print the report's path."""
    given = {
        "family": family,
        "ability": ability,
        "method": method,
        "metric": metric,
        "out": out,
        "seed": seed,
        "n_measured": n_measured,
        "n_pairs": n_pairs,
        "n_random": n_random,
        "n_ablations": n_ablations,
        "steps_of_integration": steps_of_integration,
        "target": target,
        "device": device,
        "dtype": dtype,
        "beside": _listed(beside),
        "sizes": _listed(sizes),
        "steps": steps if steps in (None, "spaced", "last") else _numbers("steps", steps),
        "seeds": None if seeds is None else _numbers("seeds", seeds),
    }
    from interp_emerge.study import Study

    options = {name: value for name, value in given.items() if value is not None}
    chosen = Study.load(study, **options) if study is not None else Study(**options)
    if dry_run:
        _show(chosen.plan(), as_json)
    else:
        typer.echo(chosen.run())


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
    _show(pd.DataFrame(rows), as_json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="name of a recipe: miniature")],
    out: Annotated[Path | None, typer.Option(help="directory of the family [grown/RECIPE]")] = None,
    workers: Annotated[int, typer.Option(help="models trained at once; 0 means one a processor")] = 0,
    device: Annotated[str, typer.Option(help="where to train; empty means a GPU if there is one")] = "",
) -> None:
    """Grow a family from its recipe; called again, go on where it stopped."""
    from interp_emerge.training.growing import grow_family
    from interp_emerge.training.recipes import load_recipe

    chosen = load_recipe(recipe)
    typer.echo(grow_family(chosen, out or Path("grown") / chosen.name, workers=workers, device=device))


@app.command()
def measure(
    family: Annotated[str, typer.Argument(help=_help("family"), autocompletion=_names(families.shelf))],
    size: Annotated[str, typer.Argument(help="name of a size")],
    ability: Annotated[list[str], typer.Argument(help="abilities", autocompletion=_names(abilities.shelf))],
    step: Step = "last",
    seed: Seed = 0,
    n: Annotated[int, typer.Option(help="number of prompts")] = 128,
    as_json: AsJson = False,
) -> None:
    """Measure abilities of one model: accuracy, log-probability and logit difference with intervals."""
    from interp_emerge.emergence.measuring import measure, summarise

    chosen = [abilities.load_ability(name) for name in ability]
    model = families.load_family(family).load(size, _step(step), seed)
    _show(summarise(measure(model, chosen, n=n)), as_json)


@app.command()
def score(
    family: Annotated[str, typer.Argument(help=_help("family"), autocompletion=_names(families.shelf))],
    size: Annotated[str, typer.Argument(help="name of a size")],
    ability: Annotated[str, typer.Argument(help="name of an ability", autocompletion=_names(abilities.shelf))],
    method: Annotated[str, typer.Option(help="patching method", autocompletion=_names(patching.shelf))] = "eap_ig",
    metric: Annotated[str, typer.Option(help=_help("metric"))] = "logit_diff",
    step: Step = "last",
    seed: Seed = 0,
    n: Annotated[int, typer.Option(help="number of prompt pairs")] = 64,
    steps: Annotated[int, typer.Option(help=_help("steps_of_integration"))] = 5,
    sites: Annotated[str | None, typer.Option(help="kinds of nodes: head, mlp, q, pattern, …; commas between")] = None,
    positions: Annotated[
        str | None, typer.Option(help="'all', numbers, or the ability's names for places; commas between [together]")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="denoising or noising")] = None,
    receivers: Annotated[str | None, typer.Option(help="readers that paths end in; commas between")] = None,
    senders: Annotated[str | None, typer.Option(help="writers to score; commas between [all]")] = None,
    mlps: Annotated[str | None, typer.Option(help="MLPs between sender and receivers: frozen or live")] = None,
    ablation: Annotated[str | None, typer.Option(help="resample, zero, mean or mean_by_position")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="fall of the metric at which acdc keeps an edge [0.01]")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="MiB of memory to work in")] = None,
    device: Annotated[str, typer.Option(help=_help("device"))] = "",
    dtype: Annotated[str, typer.Option(help=_help("dtype"))] = "",
    out: Annotated[Path | None, typer.Option(help="file to write instead: .csv or .parquet")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print passes, bytes and seconds expected")] = False,
    as_json: AsJson = False,
) -> None:
    """Score every node or edge of one model, strongest first."""
    import pandas as pd

    from interp_emerge.core.tables import require_table_name, save_table
    from interp_emerge.patching._scoring import estimate, score

    if out is not None:
        require_table_name(out)
    if method not in patching.shelf.names():
        raise UnknownNameError(patching.shelf.kind, method, patching.shelf.names())
    chosen = abilities.load_ability(ability)
    model = families.load_family(family).load(size, _step(step), seed, device=device, dtype=dtype)
    given: dict[str, Any] = {
        "method": method,
        "metric": metric,
        "steps": steps,
        "budget": None if budget is None else budget << 20,
        "sites": _listed(sites),
        "positions": positions if positions == "all" else _listed(positions),
        "direction": direction,
        "receivers": _listed(receivers),
        "senders": _listed(senders),
        "mlps": mlps,
        "ablation": ablation,
        "threshold": threshold,
    }
    pairs = chosen.sample(model, n)
    if dry_run:
        _show(pd.DataFrame([vars(estimate(model, pairs, **given))]), as_json)
        return
    frame = score(model, pairs, **given).to_frame().sort_values("score", key=abs, ascending=False, kind="stable")
    if out is None:
        _show(frame, as_json)
    else:
        save_table(frame, out)
        typer.echo(out)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="directory of a study that has run")]) -> None:
    """Build the page again from a run's tables."""
    from interp_emerge.report.build import build_report

    typer.echo(build_report(run))


def _show(frame: "pd.DataFrame", as_json: bool) -> None:
    """Print a table, as JSON records or as text with every row and column."""
    text = frame.to_json(orient="records", indent=1) if as_json else frame.to_string(index=False, na_rep="")
    typer.echo(text)


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(option: str, text: Any) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in str(text).split(","))
    except ValueError:
        raise InputError(
            f"--{option} {text!r} is no list of numbers; write them with commas between: 0,100,500"
        ) from None


def _step(text: str) -> Any:
    if text == "last":
        return text
    (number,) = _numbers("step", text)[:1]
    return number
