"""What each model knows of the ability's variables, what it uses of them, and when over sizes and steps."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.abilities.own.file_ability import FileAbility
from interp_emerge.core.memory import CPU_BUDGET
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.forming.knowing import PLACEBOS, Knowing, knowing_at
from interp_emerge.emergence.forming.known_when import knowing_onsets
from interp_emerge.emergence.forming.tables import PROBE_ONSETS
from interp_emerge.probing.tables import PROBE_SCORES, USE_SCORES
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import MEASURE
from interp_emerge.study.settings import FEWEST_PROBED, StudySettings
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, n_parameters
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.work import Work

PROBED = 128
"""Prompt pairs to probe on, if no other number is set."""
LARGE = 10_000_000
"""Non-embedding parameters from which on a model is probed only if a number of pairs is set."""


class Probing(StageWithCells[Checkpoint, Knowing]):
    """Decodes the variables of one model, and exchanges them where they are decoded."""

    name = "probing"
    round = MEASURE
    needs = (ABILITIES,)
    tables = (PROBE_SCORES, USE_SCORES, PROBE_ONSETS)

    def each(self, work: Work) -> str:
        """The probes and exchanges, in words."""
        settings = work.settings
        what = ", ".join(work.ability.variables) or "the variables of its pairs"
        return f"{settings.probe} probes of {what} on {n_probed(work)} pairs; {settings.intervention} where they decode"

    def passes(self, work: Work, load: Load) -> float:
        """The runs that are read, with those of an untrained model, and every layer exchanged at every position."""
        if why_too_large(work.settings, load.n_parameters) or not n_probed(work):
            return 0.0
        n_variables, n_positions = max(1, len(work.ability.variables)), max(1, len(work.ability.positions))
        exchanged = work.settings.probed_layers * n_positions * (2 + PLACEBOS) / 2
        return n_variables * (6 + exchanged) * n_probed(work) / work.settings.n_pairs

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "activations of the checkpoint, in memory while its variables are probed"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        """Nothing is probed if that is switched off, at earlier steps of further seeds, or in large models."""
        if not n_probed(work):
            few = "" if work.settings.n_probed == 0 else f"; its file has fewer than {FEWEST_PROBED} rows"
            return f"no pairs are probed{few}"
        grid = work.grid
        if at.seed != grid.seeds(at.size)[0] and at != grid.last_of(at.size, at.seed):
            return "of further seeds only the last step is probed"
        return why_too_large(work.settings, n_parameters(work, at) if work.settings.n_probed is None else 0)

    def cell(self, work: Work, at: Checkpoint) -> Knowing:
        """Probes, uses, and the values behind their onsets."""
        settings, n = work.settings, n_probed(work)
        how = {"probe": settings.probe, "intervention": settings.intervention, "most_layers": settings.probed_layers}
        decides = {"ability": work.ability.key, "pairs": n, "metric": settings.metric, **how}

        def compute() -> list[pd.DataFrame]:
            model: HookedModel = work.models.get(*at)
            pairs = work.prompts.sample(work.ability, model, n, settings.seed)
            shared = {"metric": settings.metric, "seed": settings.seed, "budget": CPU_BUDGET // 2}
            found = knowing_at(model, pairs, **how, **shared, record=work.store.passing)
            return [*found.tables.values()]

        names = ("probes", "uses", "items", "refused")
        found = work.cells.get_several("probing", work.inputs(at, **decides), names, compute)
        return Knowing(**dict(zip(names, found, strict=True)))

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Every probe and use, and the onsets over sizes and steps."""
        work, measured, found = results.work, results.of(ABILITIES), results.of(self)
        name = work.ability.name
        accuracies = {(at.size, at.step, at.seed, name): measured[at].accuracy(name) for at in found}
        parameters = {size: max(one.n_parameters for at, one in measured.items() if at.size == size)
                      for size in work.grid.sizes}  # fmt: skip
        both = (
            stacked(one.tables[which].assign(**at._asdict(), ability=name) for at, one in found.items())
            for which in ("probes", "uses")
        )
        by_model = {(at.size, at.step, at.seed): one for at, one in found.items()}
        return [*both, knowing_onsets(by_model, accuracies, work.ability, parameters)]


PROBING = shelf.add(Probing())


def n_probed(work: Work) -> int:
    """The number of pairs that are probed; 0 if none are."""
    if work.settings.n_probed is not None:
        return work.settings.n_probed
    ability = work.ability
    if not isinstance(ability, FileAbility):
        return PROBED
    rows = min(PROBED, ability.n_rows(work.settings.seed))
    return rows if rows >= FEWEST_PROBED else 0


def why_too_large(settings: StudySettings, n: int) -> str:
    """Why a model is not probed unless that is asked for; empty if it is probed."""
    if settings.n_probed is not None or n < LARGE:
        return ""
    return f"models of {LARGE:,} parameters or more are probed only if n_probed is given"
