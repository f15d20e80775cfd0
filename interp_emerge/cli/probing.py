"""`probe`: what the sites of one model know, read or use of a variable, by the kind of probe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interp_emerge import abilities, families, probing
from interp_emerge.cli._shared import (
    AbilityName,
    AsJson,
    Budget,
    Device,
    Dtype,
    FamilyName,
    FirstToken,
    Listing,
    Metric,
    Seed,
    Size,
    Step,
    app,
    first_token,
    listed,
    n_prompts,
    names_of,
    show,
    step_of,
)
from interp_emerge.core.errors import InputError, UnknownNameError

TRAIN_SEED = 1
"""Seed of the prompts that a tuned lens is trained on; those it is judged on have seed 0."""


def _sites(method: str, sites: str | None) -> Any:
    """The kinds of sites that are asked for; None where the lens knows its own."""
    if sites is not None:
        return listed(sites) or ()
    chosen = probing.shelf[method]
    return None if isinstance(chosen, probing.Lens) and chosen.linear else "resid_post"


@app.command(cls=Listing)
def probe(
    family: FamilyName,
    size: Size,
    ability: AbilityName,
    variable: Annotated[
        str, typer.Option(help="what to decode: a variable of the pairs, answer, foil, token+1; or several with commas")
    ] = "answer",
    method: Annotated[
        str, typer.Option(help="probe; `list probes` shows them", autocompletion=names_of(probing.shelf))
    ] = "logistic",
    sites: Annotated[
        str | None,
        typer.Option(
            help="kinds of activations, with commas: resid_post, attn_out, z [resid_post; the parts of the final "
            "stream for direct_logit_attribution]"
        ),
    ] = None,
    positions: Annotated[str, typer.Option(help="names of positions, last, numbers or all, with commas")] = "last",
    held_out: Annotated[
        str, typer.Option(help="what training and test never share: prompts, templates, or a variable")
    ] = "",
    metric: Metric = "logit_diff",
    step: Step = "last",
    seed: Seed = 0,
    n: Annotated[int | None, typer.Option(help="number of prompt pairs [256, or all rows of a smaller file]")] = None,
    budget: Budget = None,
    device: Device = "",
    dtype: Dtype = "",
    prepend_bos: FirstToken = None,
    labels: Annotated[
        Path | None, typer.Option(help="table of more variables, one row a pair: .csv or .parquet")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="file to write instead: .csv or .parquet, or .safetensors for the probes too")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what each site knows of a variable, or what the model reads there or uses, by the kind of probe."""
    from interp_emerge.probing.knowing import probe as decode
    from interp_emerge.probing.lensing import lens
    from interp_emerge.probing.using import use
    from interp_emerge.tables.io import require_table_name, save_table

    if method not in probing.shelf.names():
        raise UnknownNameError(probing.shelf.kind, method, probing.shelf.names())
    asks = probing.shelf[method].asks
    saves = out is not None and out.suffix == ".safetensors"
    if saves and asks != "known":
        raise InputError(f"{method} has no probes to save in {out}; give a name that ends in .csv or .parquet")
    if out is not None and not saves:
        require_table_name(out)
    place: dict[str, Any] = {"device": device, "dtype": dtype, "prepend_bos": first_token(prepend_bos)}
    model = families.load_family(family).load(size, step_of(step), seed, **place)
    chosen = abilities.load_ability(ability)
    n = n_prompts(n, 256, chosen, model, 0)
    pairs = chosen.sample(model, n)
    given: dict[str, Any] = {
        "method": method,
        "sites": _sites(method, sites),
        "positions": listed(positions) or (),
        "budget": None if budget is None else budget << 20,
    }
    if asks == "known":
        scores = decode(model, pairs, variable=listed(variable) or (), labels=labels, held_out=held_out, **given)
        if saves and out is not None:
            scores.save(out)
            typer.echo(out)
            return
    elif asks == "read":
        scores = lens(model, pairs, train=chosen.sample(model, n, seed=TRAIN_SEED), **given)
    else:
        scores = use(model, pairs, variable=variable, labels=labels, held_out=held_out, metric=metric, **given)
    frame = scores.to_frame()
    if out is None:
        show(frame, as_json)
    else:
        save_table(frame, out)
        typer.echo(out)
