"""What a study would compute and what it would reuse, from the names of its cells; no model is loaded."""

from collections import Counter
from dataclasses import replace

import pandas as pd

from interp_emerge.core.memory import CPU_BUDGET, format_bytes
from interp_emerge.study.cells import MissingCell
from interp_emerge.study.engine import require_workers
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import ROUNDS
from interp_emerge.study.stages import of_round
from interp_emerge.study.stages.circuit import why_no_circuit
from interp_emerge.study.work import Work

COLUMNS = {
    "round": "name of the round; rounds run in this order, and the stages of a round look at the same models",
    "stage": "name of the stage",
    "models": "number of models, steps, training runs or pairs of models for which the stage computes a result",
    "done": "how many of these are already on disk and only read",
    "compute": "how many of these have to be computed",
    "at_most": "whether the numbers are upper bounds, because it is not known yet which models have a circuit",
    "of_each": "what is computed for each of them",
    "reuses": "results of earlier stages and models that this stage uses instead of computing them",
    "left_out": "for how many nothing is computed, and why",
    "memory": "largest memory in use at one time",
}


def plan(work: Work, *, workers: int = 1) -> pd.DataFrame:
    """One row for each stage, with `COLUMNS`."""
    require_workers(workers)
    reader = replace(work, read_only=True)
    circuits, known = models_with_circuits(reader)
    rows = []
    for one in ROUNDS:
        keys = one.keys(work.grid, circuits)
        for stage in of_round(one):
            done, waiting, uncertain = 0, 0, one.follows_circuits and not known
            left_out: Counter[str] = Counter()
            for key in keys:
                try:
                    why = stage.why_not(reader, key)
                except MissingCell:
                    uncertain, why = True, ""
                if why:
                    left_out[why] += 1
                    continue
                try:
                    stage.cell(reader, key)
                    done += 1
                except MissingCell:
                    waiting += 1
            counts = {"models": done + waiting, "done": done, "compute": waiting, "at_most": uncertain}
            words = {"of_each": stage.each(work), "reuses": stage.reuses(work)}
            because = "; ".join(f"{n}: {why}" for why, n in left_out.items())
            rows.append({"round": one.name, "stage": stage.name, **counts, **words, "left_out": because})
    held = f"one model and up to {format_bytes(2 * CPU_BUDGET)}"  # the stage's budget and the recordings in memory
    return pd.DataFrame(rows).assign(memory=held if workers == 1 else f"{workers} × ({held})")


def in_lines(plan: pd.DataFrame) -> str:
    """A plan as text, one paragraph for each stage."""
    lines = []
    for row in plan.to_dict("records"):
        bound = "at most " if row["at_most"] else ""
        counts = f"{bound}{row['compute']} of {row['models']} to compute, {row['done']} on disk"
        lines += [
            f"{row['round']}, {row['stage']}: {counts}",
            f"  computes {row['of_each']}",
            f"  reuses {row['reuses']}",
        ]
        lines += [f"  leaves out {row['left_out']}"] if row["left_out"] else []
    return "\n".join([*lines, f"memory: {plan['memory'].iloc[0]}"])


def downloads(work: Work) -> str:
    """What the study would download, in words; empty if its models are on this machine.

    The hub is asked for the files of one checkpoint of each size; the others count as equally large.
    """
    waiting = [at for at in work.grid.models if not work.family.is_here(*at)] if work.family.downloads else []
    if not waiting:
        return ""
    each = {at.size: work.family.bytes_to_download(*at) for at in reversed(waiting)}
    size = format_bytes(sum(each[at.size] for at in waiting))
    budget = work.settings.disk_budget
    kept = f", of which {budget} at a time stay on disk" if budget else ""
    return f"downloads: {len(waiting)} of {len(work.grid.models)} checkpoints, about {size}{kept}"


def models_with_circuits(reader: Work) -> tuple[list[Checkpoint], bool]:
    """The last models that have, or may have, a circuit; and whether this is known for all of them."""
    found, known = [], True
    for at in reader.grid.last:
        try:
            if not why_no_circuit(reader, at):
                found.append(at)
        except MissingCell:
            found.append(at)
            known = False
    return found, known
