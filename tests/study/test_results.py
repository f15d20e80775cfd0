"""Tables of what was measured: what each model was trained on, and the one axis that everything over scale is on."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.emergence.forming import changepoints, dependence
from interp_emerge.emergence.forming.order import LAG_COLUMNS
from interp_emerge.emergence.sameness import similarity
from interp_emerge.emergence.sameness.same_circuit import test as same_circuit
from interp_emerge.emergence.scale.ladder import RUNGS
from interp_emerge.study.results import Results
from interp_emerge.study.work import Measured
from interp_emerge.tables.schemas import SCHEMAS

FAMILY = ie.load_family("miniature")
ABILITY = ie.load_ability("induction")
PARAMETERS = {"3k": 3_000, "7k": 7_000, "14k": 14_000, "25k": 25_000}


def results(**options: Any) -> Results:
    chosen: dict[str, Any] = {"family": FAMILY, "axis": "parameters"} | options
    made = Results(
        ability=ABILITY, abilities=[ABILITY], method="eap_ig", metric="logit_diff", target=0.8, n_random=10,
        sizes=list(PARAMETERS), **chosen,
    )  # fmt: skip
    for size, n_parameters in PARAMETERS.items():
        for step in (0, 5000):
            values = {"ability": ABILITY.name, "metric": np.repeat(list(RUNGS), 8), "pair": np.tile(np.arange(8), 6)}
            cell = pd.DataFrame({**values, "value": np.random.default_rng(n_parameters + step).random(48)})
            loss = 3.0 - step / 5000 - n_parameters / 1e5
            made.measured[size, step, 0] = Measured(
                n_parameters=n_parameters, loss=loss, abilities={ABILITY.name: cell}
            )
    return made


def test_tokens_and_flops_are_those_of_all_steps_so_far() -> None:
    table = results().tables()["ability"].drop_duplicates(["size", "step"]).set_index(["size", "step"])

    assert FAMILY.tokens_per_step is not None
    assert table.loc[("7k", 5000), "tokens"] == 5000 * FAMILY.tokens_per_step
    assert table.loc[("7k", 5000), "flops"] == 6 * 7_000 * 5000 * FAMILY.tokens_per_step
    assert (table.loc[pd.IndexSlice[:, 0], ["tokens", "flops"]] == 0).all(axis=None)


def test_they_are_empty_where_the_family_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FAMILY, "tokens_per_step", None)
    tables = results(axis="flops").tables()

    assert tables["ability"][["tokens", "flops"]].isna().all(axis=None)
    assert tables["ability"][["loss", "value"]].notna().all(axis=None)
    assert "does not say how many tokens a step has" in tables["jump"]["reason"].item()


@pytest.mark.parametrize("axis", ["parameters", "flops", "loss"])
def test_everything_over_scale_is_on_the_axis_of_the_study(axis: str) -> None:
    tables = results(axis=axis).tables()

    for name in ("jump", "trends", "correlations"):
        assert set(tables[name]["axis"]) == {axis}
        assert tables[name]["metric"].notna().all()


def test_sizes_that_share_their_number_of_tokens_have_no_order() -> None:
    tables = results(axis="tokens").tables()

    assert "3k/step5000 and 7k/step5000 share the place" in tables["jump"]["reason"].item()
    assert tables["trends"]["verdict"].item() == "undefined"


@pytest.mark.parametrize(
    ("table", "columns", "added"),
    [
        ("turnover", similarity.COLUMNS, {"size", "seed", "ability"}),
        ("lags", LAG_COLUMNS, {"size", "seed", "ability"}),
        ("loss_changes", changepoints._LOSS_CHANGES, set()),
        ("dependence_onsets", dependence.ONSET_COLUMNS, {"size", "seed", "ability"}),
        (
            "comparisons",
            same_circuit.COLUMNS,
            {"size_a", "seed_a", "size_b", "seed_b", "ability", "level", "verdict", "p_value_verdict", "sentence"},
        ),
    ],
)
def test_a_study_drops_no_column_of_what_it_calls(table: str, columns: Iterable[str], added: set[str]):
    assert {*SCHEMAS[table].columns} == {*columns} | added
