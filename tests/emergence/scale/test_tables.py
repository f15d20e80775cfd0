"""Tables over scale: jumps, forms and correlations on any axis, and the reason where a verdict is undecided."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.emergence.scale.jump_table import jump_table
from interp_emerge.emergence.scale.ladder import RUNGS
from interp_emerge.emergence.scale.tables import CORRELATIONS, JUMP, TRENDS, MirageVerdict
from interp_emerge.emergence.scale.trends import TrendVerdict, correlation_table, trend_table
from interp_emerge.stats.intervals import UNDEFINED

ABILITY = ie.load_ability("induction")
FAMILY = ie.load_family("miniature")
SIZES = dict(zip(FAMILY.sizes, np.geomspace(3e3, 3e6, 7), strict=True))
TABLES = {"jump": jump_table, "trends": trend_table, "correlations": correlation_table}
COLUMNS = {table.name: {*table.columns} for table in (JUMP, TRENDS, CORRELATIONS)}
PROMPTS = 1000


def measured(probability: Callable[[float], float], *, n_sizes: int = 7) -> pd.DataFrame:
    """Prompts of sizes that answer right with a probability, each with noise of its own; loss falls with size."""
    rng, parts = np.random.default_rng(0), []
    for size, n_parameters in list(SIZES.items())[:n_sizes]:
        p = np.clip(probability(n_parameters) + rng.normal(0, 0.02, PROMPTS), 1e-3, 1)
        values = dict.fromkeys(RUNGS, p) | {"log_prob": np.log(p), "accuracy": (rng.random(PROMPTS) < p).astype(float)}
        about = {
            "size": size,
            "step": 5000,
            "seed": 0,
            "n_parameters": n_parameters,
            "loss": 9 - np.log10(n_parameters),
        }
        for metric, value in values.items():
            cell = {"ability": ABILITY.name, "metric": metric, "pair": np.arange(PROMPTS), "value": value}
            parts.append(pd.DataFrame({**about, **cell}))
    return pd.concat(parts, ignore_index=True)


def sigmoid(n_parameters: float) -> float:
    return 0.08 + 0.9 / (1 + (n_parameters / 1e5) ** -3)


JUMPING, FLAT = measured(sigmoid), measured(lambda n: 0.3)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("axis", ["parameters", "flops", "loss"])
def test_a_table_has_its_columns_on_every_axis_that_tells_the_sizes_apart(name: str, axis: str) -> None:
    table = TABLES[name](JUMPING, ABILITY, axis=axis, family=FAMILY)

    assert set(table["axis"]) == {axis}
    assert COLUMNS[name] <= set(table.columns)
    assert table["metric"].notna().all()


@pytest.mark.parametrize("name", TABLES)
def test_sizes_at_the_same_place_on_an_axis_leave_one_row_with_the_reason(name: str) -> None:
    (row,) = TABLES[name](JUMPING, ABILITY, axis="tokens", family=FAMILY).to_dict("records")

    assert "3k/step5000 and 5k/step5000 share the place" in row["reason"] and row["axis"] == "tokens"
    assert row.get("verdict", UNDEFINED) in (MirageVerdict.UNDECIDED, UNDEFINED)


@pytest.mark.parametrize("name", TABLES)
def test_without_the_tokens_of_a_step_one_row_gives_the_reason(name: str) -> None:
    (row,) = TABLES[name](JUMPING, ABILITY, axis="flops").to_dict("records")

    assert row["reason"] == "axis 'flops' needs the number of tokens of a training step; give the family"


@pytest.mark.parametrize("name", TABLES)
def test_an_unknown_axis_is_an_error(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown axis 'tokns'; did you mean 'tokens'"):
        TABLES[name](JUMPING, ABILITY, axis="tokns")


def test_both_rows_of_a_jump_have_the_verdict_and_its_reason() -> None:
    table = jump_table(FLAT.assign(value=np.where(FLAT["metric"] == "accuracy", 0.0, FLAT["value"])), ABILITY)

    assert set(table["verdict"]) == {MirageVerdict.UNDECIDED}
    assert table["reason"].nunique() == 1 and "never leaves chance" in table["reason"].iloc[0]


def test_the_form_that_made_the_scores_is_found() -> None:
    found, flat = trend_table(JUMPING, ABILITY), trend_table(FLAT, ABILITY)
    (best,) = found[(found["metric"] == "accuracy") & (found["form"] == "sigmoid")].to_dict("records")

    assert best["verdict"] == TrendVerdict.SIGMOID and not best["reason"]
    assert best["p_value"] > 0.05
    assert set(flat[flat["metric"] == "log_prob"]["verdict"]) <= {TrendVerdict.CONSTANT, TrendVerdict.CANNOT_BE_TOLD}
    for table in (found, flat):
        assert table.groupby("metric")["weight"].sum().to_numpy() == pytest.approx(1)


def test_the_axis_of_loss_enters_by_differences_as_the_logarithm_of_parameters_does() -> None:
    over_loss = trend_table(JUMPING, ABILITY, axis="loss")
    over_parameters = trend_table(JUMPING, ABILITY)

    assert over_loss["weight"].to_numpy() == pytest.approx(over_parameters["weight"].to_numpy(), abs=1e-3)


def test_forms_that_fit_about_equally_well_leave_no_verdict() -> None:
    found = trend_table(measured(lambda n: 0.05 + 0.06 * np.log10(n)), ABILITY)
    accuracy = found[found["metric"] == "accuracy"]

    assert accuracy["weight"].max() < 0.9
    assert set(accuracy["verdict"]) == {TrendVerdict.CANNOT_BE_TOLD}
    assert accuracy["reason"].iloc[0].startswith("AIC is 8.0 for power_law and ")


def test_the_reason_says_that_the_best_form_does_not_fit() -> None:
    zigzag = dict(zip(SIZES.values(), [0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1], strict=True))
    found = trend_table(measured(zigzag.__getitem__), ABILITY)

    assert found["reason"].str.contains("residuals exceed the errors").any()


@pytest.mark.parametrize(
    ("n_sizes", "verdict", "reason"),
    [
        (2, TrendVerdict.UNDEFINED, "2 points are too few to compare forms"),
        (3, TrendVerdict.UNDEFINED, "3 points are too few to compare forms"),
        (5, TrendVerdict.CANNOT_BE_TOLD, "5 points are too few for broken_power_law"),
    ],
)
def test_the_reason_says_that_there_are_too_few_points(n_sizes: int, verdict: TrendVerdict, reason: str) -> None:
    found = trend_table(measured(lambda n: 0.4 * np.log10(n) - 1.3, n_sizes=n_sizes), ABILITY)
    row = found[found["metric"] == "accuracy"].iloc[0]

    assert row["verdict"] == verdict
    assert row["reason"].endswith(reason)
    assert row["n_points"] == n_sizes


def test_scores_follow_scale_where_they_rise_and_not_where_they_are_flat() -> None:
    rising, flat = (
        {row["metric"]: row for row in correlation_table(frame, ABILITY).to_dict("records")}
        for frame in (JUMPING, FLAT)
    )

    assert [*rising] == [*RUNGS]
    assert rising["log_prob"]["per_prompt"] > rising["accuracy"]["per_prompt"] > 0.5
    assert flat["log_prob"]["per_prompt_low"] < 0.1
