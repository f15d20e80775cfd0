"""`train`: grow a family of models by a recipe, or on the text files of a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interp_emerge.cli._shared import app, listed, numbers
from interp_emerge.core.errors import InputError

TEXT = "text"


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="name of a recipe: miniature, grokking or text")],
    out: Annotated[Path | None, typer.Option(help="directory of the family [grown/RECIPE]")] = None,
    workers: Annotated[int, typer.Option(help="number of models trained at once; 0 means one for each processor")] = 0,
    device: Annotated[str, typer.Option(help="where to train; empty means a GPU if there is one")] = "",
    files: Annotated[
        Path | None, typer.Option(help="text: folder of text files (.txt, .md, .py, …), or one file")
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="text: LAYERSxWIDTH, separated by commas [1x64,2x64,3x96]")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="text: seeds of each size, or one number for all [1; 1,3,1]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="text: number of training steps [3000]")] = None,
    checkpoints: Annotated[int | None, typer.Option(help="text: number of steps with saved weights [16]")] = None,
    vocabulary: Annotated[int | None, typer.Option(help="text: tokens of the tokenizer [1024]")] = None,
    context: Annotated[int | None, typer.Option(help="text: tokens that a model reads at a time [128]")] = None,
    batch: Annotated[int | None, typer.Option(help="text: windows of that length in each step [32]")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="text: highest learning rate [0.004 × 64 / width]")
    ] = None,
    repeated: Annotated[
        float | None, typer.Option(help="text: share of windows in which a passage is read again and again [0]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="text: print what it would take, and stop")] = False,
) -> None:
    """Train a family of models from its recipe; if it was interrupted, continue."""
    given = {
        "sizes": listed(sizes),
        "seeds": None if seeds is None else numbers("seeds", seeds),
        "steps": steps,
        "checkpoints": checkpoints,
        "vocabulary": vocabulary,
        "context": context,
        "batch": batch,
        "learning_rate": learning_rate,
        "repeated": repeated,
    }
    options = {name: value for name, value in given.items() if value is not None}
    chosen = _chosen(recipe, files, options)
    if dry_run and recipe != TEXT:
        raise InputError(f"--dry-run is an option of the recipe text; {recipe} has its own settings")
    if dry_run:
        from interp_emerge.training.estimate import estimate_training

        typer.echo(str(estimate_training(chosen, workers=workers, device=device or "cpu")))
        return
    from interp_emerge.core.files import require_writable
    from interp_emerge.training.growing import grow_family

    directory = out or Path("grown") / chosen.name
    require_writable(directory / "recipe.json")
    typer.echo(grow_family(chosen, directory, workers=workers, device=device))


def _chosen(recipe: str, files: Path | None, options: dict[str, Any]) -> Any:
    """The recipe of a name, or one for the files."""
    if recipe == TEXT:
        if files is None:
            raise InputError("the recipe text needs --files FOLDER, a folder of text files")
        from interp_emerge.training.text import text_recipe

        return text_recipe(files, **options)
    from interp_emerge.training.recipes import load_recipe

    chosen = load_recipe(recipe)
    if files is not None or options:
        named = ["files"] * (files is not None) + [name.replace("_", "-") for name in options]
        raise InputError(f"--{named[0]} is an option of the recipe text; {recipe} has its own settings")
    return chosen
