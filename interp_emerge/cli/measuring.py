"""`measure` and `score`: measure the abilities of one model, and score its nodes or edges."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from interp_emerge import abilities, families, patching
from interp_emerge.cli._method_options import WithMethodOptions
from interp_emerge.cli._shared import (
    AbilityName,
    AsJson,
    Budget,
    Device,
    Dtype,
    FamilyName,
    FirstToken,
    MethodName,
    Metric,
    Seed,
    Size,
    Step,
    app,
    first_token,
    n_prompts,
    names_of,
    show,
    step_of,
)
from interp_emerge.core.errors import InputError, UnknownNameError

log = logging.getLogger(__name__)


@app.command()
def measure(
    family: FamilyName,
    size: Size,
    ability: Annotated[
        list[str] | None,
        typer.Argument(
            help="abilities, or .jsonl or .csv files of prompt pairs", autocompletion=names_of(abilities.shelf)
        ),
    ] = None,
    step: Step = "last",
    seed: Seed = 0,
    n: Annotated[int | None, typer.Option(help="number of prompts [128, or all rows of a smaller file]")] = None,
    prepend_bos: FirstToken = None,
    first_tokens: Annotated[
        bool, typer.Option("--first-tokens", help="print the held-out loss with each possible first token instead")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure abilities of one model: accuracy, log-probability and logit difference with intervals.

    The last two rows of each ability compare with the corrupted prompts: the share of them after which the foil is the
    most likely token, and the gap between the logit differences after clean and corrupted prompts.
    """
    import pandas as pd

    from interp_emerge.abilities.following import not_followed
    from interp_emerge.abilities.measuring import measure, summarise
    from interp_emerge.emergence.scale.first_tokens import first_token_losses, warning_of_first_token

    if bool(ability) == first_tokens:
        raise InputError("measure needs either abilities (`list abilities` shows them) or --first-tokens, not both")
    chosen = [abilities.load_ability(name) for name in ability or ()]
    loaded = families.load_family(family)
    model = loaded.load(size, step_of(step), seed, prepend_bos=first_token(prepend_bos))
    if first_tokens:
        show(first_token_losses(model, loaded.held_out_text()), as_json)
        return
    if warning := warning_of_first_token(model, loaded.held_out_text()):
        log.warning(warning)
    measured = pd.concat([measure(model, [one], n=n_prompts(n, 128, one, model, 0), both=True) for one in chosen])
    show(summarise(measured), as_json)
    for said in not_followed(measured):
        log.warning(said)


@app.command(cls=WithMethodOptions)
def score(
    context: typer.Context,
    family: FamilyName,
    size: Size,
    ability: AbilityName,
    method: MethodName = "eap_ig",
    metric: Metric = "logit_diff",
    step: Step = "last",
    seed: Seed = 0,
    n: Annotated[int | None, typer.Option(help="number of prompt pairs [64, or all rows of a smaller file]")] = None,
    budget: Budget = None,
    device: Device = "",
    dtype: Dtype = "",
    prepend_bos: FirstToken = None,
    out: Annotated[Path | None, typer.Option(help="file to write instead: .csv or .parquet")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the expected passes, bytes and seconds, and stop")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score every node or edge of one model, strongest first."""
    import pandas as pd

    from interp_emerge.patching.scoring import estimate, options_from_text, score
    from interp_emerge.tables.io import require_table_name, save_table

    if out is not None:
        require_table_name(out)
    if method not in patching.shelf.names():
        raise UnknownNameError(patching.shelf.kind, method, patching.shelf.names())
    chosen = abilities.load_ability(ability)
    place: dict[str, Any] = {"device": device, "dtype": dtype, "prepend_bos": first_token(prepend_bos)}
    model = families.load_family(family).load(size, step_of(step), seed, **place)
    own = options_from_text(method, context.obj)
    given: dict[str, Any] = {
        **own,
        "method": method,
        "metric": metric,
        "budget": None if budget is None else budget << 20,
    }
    pairs = chosen.sample(model, n_prompts(n, 64, chosen, model, 0))
    if dry_run:
        show(pd.DataFrame([vars(estimate(model, pairs, **given))]), as_json)
        return
    frame = score(model, pairs, **given).to_frame().sort_values("score", key=abs, ascending=False, kind="stable")
    if out is None:
        show(frame, as_json)
    else:
        save_table(frame, out)
        typer.echo(out)
