"""What a study would compute and what it would reuse, told from the names of its cells: no model is loaded."""

from dataclasses import replace

import pandas as pd

from interp_emerge.core.memory import CPU_BUDGET, in_words
from interp_emerge.sweeps.cells import MissingCell
from interp_emerge.sweeps.grid import At
from interp_emerge.sweeps.work import SECOND_METHOD, Work

COLUMNS = {
    "stage": "in the order in which stages run",
    "models": "models, runs or pairs of models that the stage looks at; at most, as long as circuits are not found",
    "done": "of these, how many are on disk already and only read",
    "compute": "how many are left; at most, as long as circuits are not found",
    "of_each": "what is computed of one",
    "reuses": "what earlier stages and models have left that this one takes instead of computing it",
    "memory": "at one time",
}


def plan(work: Work, *, workers: int = 1) -> pd.DataFrame:
    """A row a stage, with `COLUMNS`."""
    circuits, known = _circuits(work)
    tasks = work.tasks(circuits)
    reader_rows = []
    for stage, keys in tasks.items():
        waiting = len([*work.missing(stage, keys)])
        most = "" if known or stage in ("measure", "locate") else "at most "
        each, reuses = _about(work, stage)
        reader_rows.append(
            {
                "stage": stage,
                "models": f"{most}{len(keys)}",
                "done": len(keys) - waiting,
                "compute": f"{most}{waiting}",
                "of_each": each,
                "reuses": reuses,
            }
        )
    held = f"one model and up to {in_words(2 * CPU_BUDGET)}"
    return pd.DataFrame(reader_rows).assign(memory=held if workers == 1 else f"{workers} × ({held})")


def _circuits(work: Work) -> tuple[list[At], bool]:
    """The last models that have a circuit, or may have one; and whether that is known of all of them."""
    reader, found, known = replace(work, read_only=True), [], True
    for at in work.grid.last:
        try:
            if reader.locate(at).found:
                found.append(at)
        except MissingCell:
            found.append(at)
            known = False
    return found, known


def _about(work: Work, stage: str) -> tuple[str, str]:
    """What a stage computes of one model, and what it takes from before."""
    chosen, store = work.settings, work.stages.store
    n_recorded = len([*store.root.glob("*.safetensors")])
    recorded = f"{n_recorded} recordings, {in_words(store.bytes_on_disk())}" if n_recorded else "none recorded yet"
    match stage:
        case "measure":
            names = ", ".join(ability.name for ability in work.abilities)
            return f"{chosen.n_measured} prompts each of {names}", "prompts, drawn once a tokenizer"
        case "locate":
            methods = " and ".join(dict.fromkeys((chosen.method, SECOND_METHOD)))
            drawn = f"{chosen.n_random} random circuits, {chosen.n_resamples} resamples"
            return (
                f"{chosen.n_pairs} pairs: node effects, roles; with the ability also {methods}, a circuit, {drawn}",
                f"activations of the pairs ({recorded}); scores by pair; baselines of roles, one a size",
            )
        case "follow":
            return (
                f"roles, node and edge effects, faithfulness, every part ablated against {chosen.n_ablations} random",
                "the circuit; activations of the checkpoint, in memory for all of these",
            )
        case "depend":
            return "when the ability depends on each part", "the runs without each part: no model is run"
        case _:
            return "edges and classes of edges against halves, seeds and random", "scores by pair, roles, circuits"
