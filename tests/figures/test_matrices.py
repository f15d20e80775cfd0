"""The matrices of overlap and of transfer print their null in each cell, and draw the table's numbers."""

import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.circuit_matrix import circuit_matrix
from interp_emerge.figures.transfer_matrix import transfer_matrix
from interp_emerge.figures.turns_matrix import turns_matrix
from tests.figures.drawn import assert_same_rows, dataset, spec_of
from tests.figures.invented_further import comparisons, transfer, turns


def test_a_cell_has_the_overlap_across_and_that_of_random_circuits():
    drawn = dataset(circuit_matrix(comparisons()))
    table = comparisons().query("level == 'edges' and comparison == 'across'")
    assert_same_rows(drawn, table, ["size_a", "size_b", "index", "low", "high", "beyond_chance", "verdict"])
    assert drawn["random"].tolist() == [0.05, 0.05]
    assert drawn[["overlap", "chance"]].to_numpy().tolist() == [["0.90", "random 0.05"], ["0.30", "random 0.05"]]


def test_the_other_level_is_drawn_if_asked_for_and_an_unknown_one_refused():
    classes = comparisons().query("level == 'classes'")
    assert_same_rows(dataset(circuit_matrix(comparisons(), level="classes")), classes.query("comparison == 'across'"),
                     ["index", "low"])  # fmt: skip
    with pytest.raises(InputError, match="no rows of level 'nodes'; it has edges, classes"):
        circuit_matrix(comparisons(), level="nodes")


def test_a_comparison_without_random_circuits_says_undefined():
    bare = comparisons().query("comparison == 'across'")
    assert dataset(circuit_matrix(bare))["chance"].unique().tolist() == ["random undefined"]


def test_transfer_draws_every_circuit_in_every_model_with_its_null():
    drawn = dataset(transfer_matrix(transfer()))
    assert_same_rows(drawn, transfer(), ["circuit", "model", "faithfulness", "ci_low", "ci_high", "random_p95"])
    of_largest = drawn.query("circuit == '1m'").set_index("model")
    assert of_largest["kept"].to_dict() == {"200k": "−0.10", "500k": "−0.10", "1m": "0.90"}
    assert set(drawn["chance"]) == {"random ≤ 0.20"}
    assert drawn.query("circuit == '200k' and model == '1m'")["kept"].tolist() == ["undefined"]
    assert "isValid(datum['faithfulness'])" in str(spec_of(transfer_matrix(transfer())))


def test_turns_draw_each_two_checkpoints_with_the_ceiling_and_the_null():
    drawn = dataset(turns_matrix(turns()))
    assert_same_rows(drawn, turns(), ["cosine", "ci_low", "ci_high", "ceiling", "null_high", "accuracy_a"])
    assert drawn[["step_a", "step_b", "shown", "noise"]].to_numpy().tolist()[1:3] == [
        ["0", "500", "0.00", "of 0.95, null 0.10"],
        ["0", "5000", "undefined", "of undefined, null 0.10"],
    ]
    axes = spec_of(turns_matrix(turns()))["layer"][0]["encoding"]
    assert axes["x"]["sort"] == axes["y"]["sort"] == ["0", "500", "5000"]


@pytest.mark.parametrize("column", ["seed", "variable", "layer"])
def test_turns_of_two_runs_or_sites_are_not_drawn_over_each_other(column: str):
    with pytest.raises(InputError, match=f"values of '{column}'"):
        turns_matrix(turns().assign(**{column: range(6)}))


def test_templates_are_not_drawn_over_each_other():
    with pytest.raises(InputError, match="values of 'template'"):
        transfer_matrix(transfer().assign(template=["a"] * 5 + ["b"] * 4))
