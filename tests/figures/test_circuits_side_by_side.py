"""Two circuits side by side: both tables' edges are drawn, partners name each other, and the null is printed."""

import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.circuits_side_by_side import circuits_side_by_side
from tests.figures.drawn import assert_same_rows, dataset, spec_of
from tests.figures.invented import circuit_edges

MATCH = pd.DataFrame(
    {"a": ["a0.h1", "a3.h0", "a1.h1"], "b": ["a0.h1", "a3.h0", ""], "identifiable": [True, False, None]}
)
OVERLAP = pd.DataFrame({"level": ["edges", "heads"], "similarity": [0.62, 0.8], "random": [0.05, 0.2],
                        "random_low": [0.01, 0.1], "random_high": [0.09, 0.3], "p_value": [0.005, 0.01]})  # fmt: skip


def two() -> pd.DataFrame:
    table = circuit_edges()
    return table[table["size"].isin(["500k", "1m"])].reset_index(drop=True)


def test_the_edges_of_both_circuits_are_the_tables_and_stay_apart():
    chart = circuits_side_by_side(two(), most=200)
    edges = dataset(chart, "edges")
    plain = edges.assign(writer=edges["writer"].str.split(": ").str[1])
    assert_same_rows(plain, two(), ["size", "writer", "reader", "score"])
    nodes = dataset(chart, "nodes")
    left, right = (nodes[nodes["node"].str.startswith(f"{size}: ")] for size in ("500k", "1m"))
    assert len(left) + len(right) == len(nodes)
    assert left["right"].max() < right["left"].min()
    assert dataset(chart, "models")["title"].tolist() == ["500k", "1m"]


def test_boxes_of_a_row_do_not_overlap():
    nodes = dataset(circuits_side_by_side(two(), match=MATCH), "nodes")
    for _, row in nodes.sort_values("left").groupby("y"):
        assert (row["left"].to_numpy()[1:] >= row["right"].to_numpy()[:-1]).all()


def test_partners_name_each_other_and_doubt_is_marked():
    nodes = dataset(circuits_side_by_side(two(), match=MATCH), "nodes").set_index("node")["label"].dropna()
    both = {"500k: a0.h1": "≙ a0.h1", "500k: a3.h0": "≙ a3.h0 ?", "1m: a0.h1": "≙ a0.h1", "1m: a3.h0": "≙ a3.h0 ?"}
    assert nodes.to_dict() == both


def test_the_overlap_is_printed_with_its_null_and_edges_that_are_left_out_are_counted():
    chart = circuits_side_by_side(two(), overlap=OVERLAP, most=20)
    said, drawn = spec_of(chart)["title"]["text"], dataset(chart, "edges")["size"]
    assert said[0].startswith("Overlap: edges 0.62 (random circuits 0.05 [0.01, 0.09], p = 0.005); heads 0.80")
    for size, line in zip(("500k", "1m"), said[1:], strict=True):
        n = (two()["size"] == size).sum()
        assert line.startswith(f"{size}: {n - (drawn == size).sum()} of {n} edges below the threshold")


def test_other_numbers_of_models_and_other_tables_are_refused():
    with pytest.raises(InputError, match="circuits of 1 models; pass those of two"):
        circuits_side_by_side(two().query("size == '1m'"))
    with pytest.raises(InputError, match="match lacks column 'b'"):
        circuits_side_by_side(two(), match=MATCH[["a"]])
    with pytest.raises(InputError, match="overlap lacks column 'random'"):
        circuits_side_by_side(two(), overlap=OVERLAP.drop(columns="random"))
