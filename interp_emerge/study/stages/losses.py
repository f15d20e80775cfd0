"""Steps at which the held-out loss of each training run changes its slope."""

from collections.abc import Sequence

import pandas as pd

from interp_emerge.emergence.forming.loss_changes import loss_changes
from interp_emerge.emergence.forming.tables import LOSS_CHANGES
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, about
from interp_emerge.study.stages.base import Results, Stage


class Losses(Stage):
    """Finds change points in the measured losses; no model is run."""

    name = "losses"
    needs = (ABILITIES,)
    tables = (LOSS_CHANGES,)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        """The changes in every training run."""
        return [loss_changes(pd.DataFrame([about(at, one) for at, one in results.of(ABILITIES).items()]))]


shelf.add(Losses())
