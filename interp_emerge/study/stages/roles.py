"""The roles of each model's heads, compared with untrained models."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.circuits.roles.table import role_baselines, role_frame
from interp_emerge.circuits.tables import ROLE_TABLE
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import configuration_of
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Load, Results, StageWithCells, stacked
from interp_emerge.study.stages.circuit import CIRCUIT, circuits
from interp_emerge.study.work import Work


class Roles(StageWithCells[Checkpoint, pd.DataFrame]):
    """Scores every head in every role."""

    name = "roles"
    round = LOCATE
    needs = (CIRCUIT,)
    tables = (ROLE_TABLE,)

    def each(self, work: Work) -> str:
        """The roles, in words."""
        return "roles of every head, and of every head of untrained models"

    def passes(self, work: Work, load: Load) -> float:
        """The roles of the model and of an untrained one, whose prompts have a length of their own."""
        return 7800 / load.n_tokens

    def reuses(self, work: Work) -> str:
        """Results of earlier stages and models, in words."""
        return "baselines of roles, one for each size and vocabulary"

    def cell(self, work: Work, at: Checkpoint) -> pd.DataFrame:
        """The columns of `role_frame`."""
        seed = work.settings.seed
        return work.frame("roles", at, lambda model: role_frame(model, _baselines(work, model), seed=seed))

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """Every role of every head, and whether the head is in its model's circuit."""
        heads = {at: found.circuit.heads for at, found in circuits(results).items()}
        return [
            stacked(
                cell.assign(**at._asdict(), in_circuit=cell["node"].isin(heads.get(at, [])))
                for at, cell in results.of(self).items()
            )
        ]


ROLES = shelf.add(Roles())


def _baselines(work: Work, model: HookedModel) -> dict[str, float]:
    """Baselines of roles and of what these require, which depend on the configuration and vocabulary alone."""
    seed = work.settings.seed

    def compute() -> pd.DataFrame:
        found = role_baselines(model, seed=seed)
        return pd.DataFrame({"role": [*found], "baseline": [*found.values()]})

    decides = {"config": configuration_of(model), "dtype": str(model.dtype), "seed": seed}
    decides["vocabulary"] = model.vocabulary or model.spec.to_dict()
    cell = work.cells.get("role_baselines", decides, compute)
    return dict(zip(cell["role"], cell["baseline"], strict=True))
