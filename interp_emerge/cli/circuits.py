"""`circuit` and `compare`: find a circuit and test it; compare two circuits."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp_emerge import abilities, families, patching
from interp_emerge.cli._method_options import WithMethodOptions
from interp_emerge.cli._shared import (
    AbilityName,
    Ablation,
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
    listed,
    n_prompts,
    step_of,
)
from interp_emerge.core.errors import InputError, UnknownNameError, counted
from interp_emerge.core.files import require_writable, write_atomically

if TYPE_CHECKING:
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.core.spec import ModelSpec

log = logging.getLogger(__name__)
NOTES = {
    "roles of heads": "A head has every role that it shows beyond untrained models, the clearest first. Roles describe "
    "what it does, and several can hold at once."
}
"""What is said below a table, by its name."""


@app.command(cls=WithMethodOptions)
def circuit(
    context: typer.Context,
    family: FamilyName,
    size: Size,
    ability: AbilityName,
    given: Annotated[
        Path | None, typer.Option("--circuit", help="circuit file to test, instead of finding one")
    ] = None,
    method: MethodName = "eap_ig",
    metric: Metric = "logit_diff",
    ablation: Ablation = "resample",
    target: Annotated[
        float | None, typer.Option(help="faithfulness that the smallest circuit has to keep [0.8]")
    ] = None,
    edges: Annotated[int | None, typer.Option(min=1, help="number of edges instead")] = None,
    share: Annotated[float | None, typer.Option(help="share of the graph's edges instead")] = None,
    threshold: Annotated[float | None, typer.Option(help="least score of an edge instead")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="number of nodes instead, for methods that score nodes")
    ] = None,
    select: Annotated[str, typer.Option(help="top: the strongest edges; grow: grown from the logits")] = "top",
    by: Annotated[
        str | None, typer.Option(help="order of edges: score or magnitude [magnitude; score with --threshold]")
    ] = None,
    local_search: Annotated[bool, typer.Option(help="drop single edges from the smallest circuit")] = True,
    sure: Annotated[
        bool, typer.Option(help="require that the interval's lower end, not only the value, reaches the target")
    ] = True,
    parts: Annotated[str | None, typer.Option(help="tests to run, separated by commas, or 'none' [all]")] = None,
    step: Step = "last",
    seed: Seed = 0,
    draw: Annotated[int, typer.Option(min=0, max=999, help="seed of prompts, random circuits and bootstrap")] = 0,
    n: Annotated[
        int | None,
        typer.Option(min=2, help="prompt pairs to find the circuit on, and as many others to evaluate it on [64]"),
    ] = None,
    n_random: Annotated[int, typer.Option(min=1, help="random circuits to compare with")] = 100,
    repeat: Annotated[
        int, typer.Option(min=0, help="new sets of prompts on which the whole search is repeated, to measure stability")
    ] = 0,
    budget: Budget = None,
    device: Device = "",
    dtype: Dtype = "",
    prepend_bos: FirstToken = None,
    out: Annotated[Path | None, typer.Option(help="file for the circuit: .json, or .graphml")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be computed, and stop")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the circuit of an ability in one model, and test it on other prompts."""
    from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION, REPEATED, split_of
    from interp_emerge.circuits.finding.find import find_circuit, search_stability
    from interp_emerge.circuits.running.runs import Runs
    from interp_emerge.circuits.testing.examination import MOST_EDGES, PARTS, examine, require_parts
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.patching.scoring import options_from_text
    from interp_emerge.study.cost import expected

    sizes = {"target": target, "n_edges": edges, "share": share, "threshold": threshold, "n_nodes": nodes}
    searches = repeat or select != "top" or by or context.obj or any(value is not None for value in sizes.values())
    if given is not None and searches:
        raise InputError(f"--circuit {given} is tested as it is; leave out the options that say how to find a circuit")
    if repeat in (1, 2):
        raise InputError(f"--repeat {repeat} gives no interval; ask for 3 sets of prompts or more, or 0 for none")
    if out is not None and out.suffix not in (".json", ".graphml"):
        raise InputError(f"--out {out} ends in neither .json nor .graphml; name a file that does")
    if out is not None:
        require_writable(out)
    if method not in patching.shelf.names():
        raise UnknownNameError(patching.shelf.kind, method, patching.shelf.names())
    chosen = () if parts == "none" else PARTS if parts is None else listed(parts) or ()
    require_parts(chosen)
    asked = abilities.load_ability(ability)
    loaded = None if given is None else Circuit.load(given)
    place: dict[str, Any] = {"device": device, "dtype": dtype, "prepend_bos": first_token(prepend_bos)}
    model = families.load_family(family).load(size, step_of(step), seed, **place)
    n = n_prompts(n, 64, asked, model, DISCOVERY + draw, EVALUATION + draw)
    discovery, evaluation = (
        asked.sample(model, n, first + draw, split=split_of(asked, first)) for first in (DISCOVERY, EVALUATION)
    )
    how: dict[str, Any] = {"metric": metric, "ablation": ablation, "budget": None if budget is None else budget << 20}
    own = options_from_text(method, context.obj)
    if dry_run:
        known = {"circuit": loaded, "repeat": repeat, "parts": chosen, "n_random": n_random}
        _print(expected(model, discovery, method=method, options=own, **known, **how), as_json)
        return
    _warn_of_other_origin(loaded, ability=asked.key, metric=metric, spec=model.spec)
    scores = repeated = None
    if loaded is None:
        order = {"select": select, "by": by, "local_search": local_search, "sure": sure}
        search: dict[str, Any] = {"method": method, **sizes, **order}
        search |= {f"method_{name}" if name in search else name: value for name, value in own.items()}
        runs = Runs(model, discovery, seed=draw, **how)
        found = find_circuit(runs, **search)
        loaded, scores = found.circuit, found.scores
        if repeat:
            sets = [
                asked.sample(model, n, REPEATED + 1000 * at + draw, split=split_of(asked, DISCOVERY))
                for at in range(repeat)
            ]
            repeated = search_stability(runs, loaded, sets, **search)
    held_out = Runs(model, evaluation, seed=draw, **how)
    tested = examine(held_out, loaded, scores=scores, parts=chosen, n_random=n_random)
    if repeated is not None:
        tested = tested.with_search(repeated)
    _print(tested, as_json)
    if out is not None and out.suffix == ".json":
        loaded.save(out)
    elif out is not None:
        loaded.to_graphml(out)
    if out is not None:
        typer.echo(f"\nThe circuit with all {counted(len(loaded), 'edge')} is in {out}", err=as_json)
    elif len(loaded) > MOST_EDGES and not as_json:
        typer.echo("\n--out FILE.json writes the circuit with all edges; `interp-emerge compare` and --circuit read it")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="circuit file")],
    second: Annotated[Path, typer.Argument(help="circuit file")],
    family: Annotated[
        str | None, typer.Option(help="family of both models, where the name in the files cannot be loaded")
    ] = None,
    ability: Annotated[str | None, typer.Option(help="ability to run both on [the one in the files]")] = None,
    models: Annotated[bool, typer.Option(help="also run each circuit in the other model")] = True,
    n: Annotated[int, typer.Option(min=2, help="prompt pairs to run them on")] = 64,
    n_random: Annotated[int, typer.Option(min=1, help="pairs of random circuits of each kind to compare with")] = 200,
    draw: Annotated[int, typer.Option(min=0, max=999, help="seed of prompts and random circuits")] = 0,
    budget: Budget = None,
    device: Device = "",
    out: Annotated[Path | None, typer.Option(help="file to write the whole comparison to, as JSON")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two circuits: the edges and nodes that they share, against chance, and each in the other's model."""
    from interp_emerge.core.circuit import Circuit
    from interp_emerge.emergence.sameness.compare import compare

    loaded = [Circuit.load(path) for path in (first, second)]
    names = (str(first), str(second)) if first != second else ("first", "second")
    if out is not None:
        require_writable(out)
    options: dict[str, Any] = {"family": family, "ability": ability, "device": device, "n": n, "seed": draw}
    compared = compare(
        *loaded,
        names=names,
        models=models,
        n_random=n_random,
        budget=None if budget is None else budget << 20,
        **options,
    )
    _print(compared, as_json)
    if out is not None:
        write_atomically(out, json.dumps(compared.to_dict(), indent=1, ensure_ascii=False).encode())


def _warn_of_other_origin(circuit: "Circuit | None", *, ability: str, metric: str, spec: "ModelSpec") -> None:
    """Warn where a circuit file was found under other conditions than those that it is tested under."""
    if circuit is None:
        return
    own = circuit.origin.get("model")
    found = {"ability": circuit.origin.get("ability") or None, "metric": circuit.origin.get("metric") or None}
    if isinstance(own, dict):
        found |= {"weights": own.get("revision") or None, "first token": own.get("prepended")}
    tested = {"ability": ability, "metric": metric, "weights": spec.revision, "first token": spec.prepended}
    for name, value in found.items():
        if value is not None and value != tested[name]:
            log.warning(
                "the circuit was found with another %s (%s) than the one that it is tested with (%s)",
                name,
                value or "none",
                tested[name] or "none",
            )


def _print(result: Any, as_json: bool) -> None:
    """Print the sentences and tables of a result, or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=1, ensure_ascii=False))
        return
    typer.echo("\n".join(result.sentences))
    for name, table in result.shown.items():
        if len(table):
            typer.echo(f"\n{name}\n{table.to_string(index=False, na_rep='', float_format='{:.4g}'.format)}")
            typer.echo(NOTES.get(name, ""), nl=name in NOTES)
