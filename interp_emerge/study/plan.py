"""What a study would compute and what it would reuse, told from the names of its cells: no model is loaded."""

from dataclasses import replace

import pandas as pd

from interp_emerge.core.memory import CPU_BUDGET, in_words
from interp_emerge.study.cells import MissingCell
from interp_emerge.study.engine import require_workers
from interp_emerge.study.grid import At
from interp_emerge.study.work import SECOND_METHOD, Work

COLUMNS = {
    "stage": "in the order in which stages run",
    "models": "models, runs or pairs of models that the stage looks at",
    "done": "of these, how many are on disk already and only read",
    "compute": "how many are left",
    "at_most": "whether the numbers are upper bounds: they are where it is not known yet which models have a circuit",
    "of_each": "what is computed of one",
    "reuses": "what earlier stages and models have left that this one takes instead of computing it",
    "memory": "at one time",
}


def plan(work: Work, *, workers: int = 1) -> pd.DataFrame:
    """A row a stage, with `COLUMNS`."""
    require_workers(workers)
    circuits, known = _circuits(work)
    rows = []
    for stage, keys in work.tasks(circuits).items():
        waiting = len([*work.missing(stage, keys)])
        counts = {"stage": stage, "models": len(keys), "done": len(keys) - waiting, "compute": waiting}
        each, reuses = _about(work, stage)
        at_most = not known and stage not in ("measure", "locate")
        rows.append({**counts, "at_most": at_most, "of_each": each, "reuses": reuses})
    held = f"one model and up to {in_words(2 * CPU_BUDGET)}"  # a stage's budget, and recordings that are held
    return pd.DataFrame(rows).assign(memory=held if workers == 1 else f"{workers} × ({held})")


def in_lines(plan: pd.DataFrame) -> str:
    """A plan as text, a paragraph a stage."""
    said = []
    for row in plan.to_dict("records"):
        bound = "at most " if row["at_most"] else ""
        said.append(f"{row['stage']}: {bound}{row['compute']} of {row['models']} to compute, {row['done']} on disk")
        said += [f"  computes {row['of_each']}", f"  reuses {row['reuses']}"]
    return "\n".join([*said, f"memory: {plan['memory'].iloc[0]}"])


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
