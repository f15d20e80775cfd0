"""Shared by the commands: the application, options of several commands, and the printing of tables."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperCommand

from interp_emerge import abilities, circuits, families, figures, patching, probing
from interp_emerge.core.errors import InputError
from interp_emerge.core.registry import Shelf
from interp_emerge.study.settings import StudySettings

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
SHELVES: dict[str, Shelf] = {
    "families": families.shelf,
    "abilities": abilities.shelf,
    "methods": patching.shelf,
    "probes": probing.shelf,
    "roles": circuits.roles.shelf,
    "figures": figures.shelf,
}


MOST_FOLDED = 8
"""Columns of a table that a terminal is given lines of its own width for; wider tables are for a pager."""


def names_of(shelf: Shelf):
    """Completions of a name on the shelf, for the shell."""
    return lambda incomplete: [name for name in shelf.names() if name.startswith(incomplete)]


def lists() -> dict[str, list[str]]:
    """Names that replace a word in braces in help texts. Listing them imports the registry that holds them."""
    from interp_emerge.abilities.metrics import METRICS
    from interp_emerge.patching.ablation import ABLATIONS

    return {"metrics": METRICS.names(), "ablations": [*ABLATIONS]}


def names_in(what: str):
    """Completions of a name in one of these lists, for the shell."""
    return lambda incomplete: [name for name in lists()[what] if name.startswith(incomplete)]


class Listing(TyperCommand):
    """A command whose help lists names of registries, which are imported when it runs or prints its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's parameters, with the lists of names filled into their help."""
        params: list[Any] = [*super().get_params(ctx)]
        for one in params:
            if "{" in (getattr(one, "help", None) or ""):
                one.help = one.help.format(**{what: ", ".join(names) for what, names in lists().items()})
        return params


def choices_of(field: str):
    """Completions of a study setting that takes one of a few words, for the shell."""
    choices = get_args(StudySettings.model_fields[field].annotation)
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def help_of(field: str) -> str:
    """A study setting's description, with its default."""
    described = StudySettings.model_fields[field]
    default = described.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{described.description}{f' [{shown}]' if shown and default is not None else ''}"


Size = Annotated[str, typer.Argument(help="name of a size")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Seed = Annotated[int, typer.Option(help="seed of the training run")]
Step = Annotated[str, typer.Option(help="training step, or 'last'")]
FamilyName = Annotated[
    str, typer.Argument(help=StudySettings.model_fields["family"].description, autocompletion=names_of(families.shelf))
]
AbilityName = Annotated[
    str,
    typer.Argument(
        help="name of an ability, or a .jsonl or .csv file of prompt pairs", autocompletion=names_of(abilities.shelf)
    ),
]
MethodName = Annotated[
    str, typer.Option(help="patching method; `list methods` shows them", autocompletion=names_of(patching.shelf))
]
Metric = Annotated[
    str, typer.Option(help="metric of scores and faithfulness: {metrics}", autocompletion=names_in("metrics"))
]
Ablation = Annotated[
    str,
    typer.Option(help="what replaces the edges outside the circuit: {ablations}", autocompletion=names_in("ablations")),
]
Budget = Annotated[int | None, typer.Option(min=1, help="MiB of memory to use")]
Device = Annotated[str, typer.Option(help=help_of("device"))]
Dtype = Annotated[str, typer.Option(help=help_of("dtype"))]
FirstToken = Annotated[str | None, typer.Option("--prepend-bos", help=help_of("prepend_bos"))]


def show(frame: "pd.DataFrame", as_json: bool) -> None:
    """Print a table, as JSON records or as text with every row and column."""
    if as_json:
        typer.echo(frame.to_json(orient="records", indent=1))
    elif sys.stdout.isatty() and len(frame.columns) <= MOST_FOLDED:
        _show_folded(frame)
    else:
        typer.echo(_lines(frame))


def _lines(frame: "pd.DataFrame") -> str:
    """A line for each row, whatever its length; text begins where its heading begins."""
    padded = {}
    for name in frame.select_dtypes(["object", "string"]):
        cells = frame[name].fillna("").astype(str)
        width = max([len(str(name)), *cells.str.len()])
        padded[str(name).ljust(width)] = cells.str.ljust(width)
    kept = {column.rstrip(): (column, cells) for column, cells in padded.items()}
    columns = dict(kept.get(str(name), (name, frame[name])) for name in frame)
    text = type(frame)(columns).to_string(index=False, na_rep="", float_format="{:.6g}".format)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _show_folded(frame: "pd.DataFrame") -> None:
    """The table as wide as the terminal, with text on as many lines as it takes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    texts = {*frame.select_dtypes(["object", "string"])}
    for name in frame:
        table.add_column(str(name), justify="left" if name in texts else "right", overflow="fold")
    for row in frame.astype(object).where(frame.notna(), "").itertuples(index=False):
        table.add_row(*(Text(f"{cell:.6g}" if isinstance(cell, float) else str(cell)) for cell in row))
    Console(highlight=False).print(table)


def n_prompts(n: int | None, default: int, ability: Any, model: Any, *seeds: int) -> int:
    """The number of prompts that was asked for, or the default; of a file at most its rows for these seeds."""
    if n is not None or not hasattr(ability, "n_rows"):
        return default if n is None else n
    return max(1, min(default, *(ability.n_rows(seed, model) for seed in seeds)))


def listed(text: str | None) -> tuple[str, ...] | None:
    """Words separated by commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def first_token(text: str | None) -> bool | int | str | None:
    """The first token of prompts: true, false, the id of a token, or its text."""
    if text is None or text.lower() not in ("true", "yes", "false", "no", ""):
        return int(text) if text is not None and text.isdecimal() else text
    return text.lower() in ("true", "yes")


def numbers(option: str, text: Any) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    parts = [part.strip() for part in str(text).split(",")]
    if wrong := [part for part in parts if not _is_whole(part)]:
        raise InputError(f"--{option} {text}: {wrong[0]!r} is not a whole number; separate several by commas: 0,1,2")
    return tuple(map(int, parts))


def steps_of(text: str | None, *, alone: tuple[str, ...] = ()) -> Any:
    """Training steps separated by commas, of which one may be `last`; or one of the words that stand `alone`."""
    if text is None or text in ("last", *alone):
        return text
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if part != "last" and not _is_whole(part)]:
        words = "".join(f", or {word} alone" for word in alone)
        raise InputError(f"--steps {text}: {wrong[0]!r} is not a step; give numbers or last, separated by commas, as "
                         f"in 0,100,last{words}")  # fmt: skip
    return tuple(part if part == "last" else int(part) for part in parts)


def step_of(text: str) -> Any:
    """One training step, or `last`."""
    if text != "last" and not _is_whole(text):
        raise InputError(f"--step {text!r} is not a step; give one number, or last")
    return text if text == "last" else int(text)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
