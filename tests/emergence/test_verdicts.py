"""Every table of emergence names in the description of its column each verdict that the column can hold."""

from enum import StrEnum

import pytest

from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import (
    DEPENDENCE_ONSETS,
    LAGS,
    LOSS_CHANGES,
    ONSETS,
    DependenceCriterion,
    DependenceVerdict,
)
from interp_emerge.emergence.scale.onset import OnsetVerdict
from interp_emerge.emergence.scale.rise import RiseShape
from interp_emerge.emergence.scale.seeds import SeedSpread
from interp_emerge.emergence.scale.tables import JUMP, SEEDS, TRENDS, MirageVerdict
from interp_emerge.emergence.scale.trends import TrendVerdict
from interp_emerge.stats.forms import FORMS
from interp_emerge.tables.schema import Table


@pytest.mark.parametrize(
    ("table", "column", "verdicts"),
    [
        (ONSETS, "verdict", OnsetVerdict),
        (JUMP, "verdict", MirageVerdict),
        (JUMP, "shape", RiseShape),
        (SEEDS, "shape", SeedSpread),
        (LAGS, "verdict", LagVerdict),
        (LOSS_CHANGES, "verdict", LossVerdict),
        (DEPENDENCE_ONSETS, "verdict", DependenceVerdict),
        (DEPENDENCE_ONSETS, "criterion", DependenceCriterion),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", value)),
)
def test_a_column_lists_its_verdicts(table: Table, column: str, verdicts: type[StrEnum]) -> None:
    assert [verdict for verdict in verdicts if verdict not in table.columns[column]] == []


def test_a_trend_is_a_form_or_has_none() -> None:
    forms = [form.name for form in FORMS]
    assert {*TrendVerdict} == {*forms, TrendVerdict.CANNOT_BE_TOLD, TrendVerdict.UNDEFINED}
    assert all(form in TRENDS.columns["form"] for form in forms)
    assert all(verdict in TRENDS.columns["verdict"] for verdict in (TrendVerdict.CANNOT_BE_TOLD, "undefined"))
