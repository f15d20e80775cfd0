"""`attend`: what heads attend to, as a self-contained page or a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp_emerge import abilities, families
from interp_emerge.cli._shared import (
    AsJson,
    Device,
    Dtype,
    FirstToken,
    app,
    first_token,
    listed,
    n_prompts,
    names_of,
    show,
    step_of,
)
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.files import require_writable

if TYPE_CHECKING:
    from interp_emerge.families.base import Family

N_PAIRS = 64
MODES = ("pattern", "value_weighted", "difference")
RENDERERS = ("own", "circuitsvis")


@app.command()
def attend(
    model: Annotated[str, typer.Argument(help="FAMILY/SIZE, a family with one size, or a directory")],
    prompt: Annotated[str | None, typer.Argument(help="text of the prompt; leave it out with --ability")] = None,
    heads: Annotated[str | None, typer.Option(help="heads, separated by commas, such as a5.h1,a6.h0 [all]")] = None,
    mode: Annotated[
        str, typer.Option(help=f"{', '.join(MODES)} (clean minus corrupted)", autocompletion=lambda: [*MODES])
    ] = "pattern",
    ability: Annotated[
        str | None,
        typer.Option(
            help="average over pairs of this ability, or of a .jsonl or .csv file, instead",
            autocompletion=names_of(abilities.shelf),
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option(min=1, help="number of pairs; 1 shows its tokens [64, or all of a file]")
    ] = None,
    size: Annotated[str | None, typer.Option(help="sizes, separated by commas; several give a slider")] = None,
    step: Annotated[
        str | None, typer.Option(help="training steps, separated by commas, or 'spaced'; several give a slider [last]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the training run [0]")] = None,
    renderer: Annotated[str, typer.Option(help=" or ".join(RENDERERS), autocompletion=lambda: [*RENDERERS])] = "own",
    device: Device = "",
    dtype: Dtype = "",
    prepend_bos: FirstToken = None,
    out: Annotated[Path, typer.Option(help="file to write: .html, .png, .svg or .pdf")] = Path("attention.html"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print models, heads, tokens and the size of the page, and stop")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the heads of a model attend to, and print the path of the page."""
    for word, known in ((mode, MODES), (renderer, RENDERERS)):
        if word not in known:
            raise UnknownNameError("mode" if known is MODES else "renderer", word, known)
    if (prompt is None) == (ability is None):
        raise InputError("attend needs either a prompt or --ability NAME, not both")
    asked = None if ability is None else abilities.load_ability(ability)
    import pandas as pd

    from interp_emerge.caching.attention import attention_shape
    from interp_emerge.core.memory import format_bytes
    from interp_emerge.figures.attention.coding import estimated_bytes
    from interp_emerge.figures.attention.view import require_format
    from interp_emerge.study.attention import MOST_BYTES, attention

    require_format(out)
    if not dry_run:
        require_writable(out)
    family, places = _places(model, size, step, seed)
    place: dict[str, Any] = {"device": device, "dtype": dtype, "prepend_bos": first_token(prepend_bos)}
    last = family.load(*places[-1], **place)
    shown: Any = prompt if asked is None else asked.sample(last, n_prompts(n, N_PAIRS, asked, last, 0))
    n_heads, n_tokens = attention_shape(last, shown, heads=listed(heads))
    expected = estimated_bytes(n_heads, n_tokens, n_models=len(places), interval=asked is not None and len(shown) > 1)
    if dry_run:
        row = {"models": len(places), "heads": n_heads, "tokens": n_tokens, "page": format_bytes(expected)}
        show(pd.DataFrame([row]), as_json)
        return
    if expected > MOST_BYTES:
        raise InputError(f"the page would take about {format_bytes(expected)}, more than {format_bytes(MOST_BYTES)}; "
                         "name fewer heads, or give fewer steps or a shorter prompt")  # fmt: skip

    def models() -> Iterator[Any]:
        for at in places[:-1]:
            yield family.load(*at, **place)
        yield last

    how: dict[str, Any] = {"heads": listed(heads), "mode": mode, "renderer": renderer}
    typer.echo(attention(models(), shown, **how).save(out))


def _places(model: str, sizes: str | None, steps: str | None, seed: int | None) -> tuple["Family", list[tuple]]:
    """The family and the size, step and seed of each model that is asked for, in the order of the slider."""
    parts = model.rstrip("/").split("/")
    known = families.shelf.names()
    names = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    name = next((one for one in names if one in known or (one and Path(one).is_dir())), names[-1] or model)
    family = families.load_family(name)
    rest = model.rstrip("/")[len(name) :].strip("/").split("/") if len(name) < len(model.rstrip("/")) else []
    words = {"step": steps, "seed": None if seed is None else str(seed)}
    for part in rest[1:]:
        kind = next((one for one in words if part.startswith(one) and part[len(one) :].isdecimal()), None)
        if kind is None or words[kind] is not None or len(rest) > 3:
            raise InputError(f"cannot read {model!r} as a model; expected FAMILY/SIZE/stepN/seedN, and each of size, "
                             "step and seed once")  # fmt: skip
        words[kind] = part[len(kind) :]
    if rest and sizes is not None:
        raise InputError(f"{model!r} names a size already; leave out --size, or give --size with {name!r}")
    chosen = listed(sizes) or tuple(rest[:1]) or tuple(family.sizes)
    if len(chosen) > 1 and sizes is None:
        raise InputError(f"{name} has {len(chosen)} sizes ({', '.join(chosen)}); name one, as in {name}/{chosen[-1]}")
    run = int(words["seed"] or 0)
    found = []
    for one in chosen:
        if words["step"] == "spaced":
            found += [(one, at, run) for at in family.spaced_steps(one, run)]
        else:
            found += [(one, step_of(at), run) for at in listed(words["step"] or "last") or ()]
    if not found:
        raise InputError("--step names no step; leave it out, or give at least one")
    for at in found:
        family.spec(*at)
    return family, found
