import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures._layout import lay_out
from interp_emerge.figures.circuit_graph import circuit_graph
from tests.figures.drawn import assert_same_rows, dataset, encodings
from tests.figures.invented import circuit_edges


def largest() -> pd.DataFrame:
    table = circuit_edges()
    return table[table["size"] == "1m"].reset_index(drop=True)


def edges(*named: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(named, columns=["writer", "reader", "score"]).assign(
        size="1m", step=1, seed=0, ability="induction"
    )


def test_edges_are_the_tables_and_nodes_are_their_ends():
    table = largest()
    chart = circuit_graph(table)
    assert_same_rows(dataset(chart, "edges"), table, ["writer", "reader", "score", "size", "step", "seed"])
    ends = set(table["writer"]) | {reader.removesuffix(f".{role}") for reader in table["reader"] for role in "qkv"}
    ends = {end for end in ends if not end.endswith((".q", ".k", ".v"))}
    assert set(dataset(chart, "nodes")["node"]) == ends


def test_width_is_the_size_of_the_score_and_dashes_are_its_sign():
    chart = circuit_graph(edges(("embed", "m0", 2.0), ("m0", "logits", -1.0)))
    drawn = dataset(chart, "edges").set_index("writer")
    assert drawn["strength"].to_dict() == {"embed": 2.0, "m0": 1.0}
    assert drawn["sign"].to_dict() == {"embed": "toward clean (+)", "m0": "away from clean (−)"}
    (line,) = encodings(chart, "line")
    assert (line["strokeWidth"]["field"], line["strokeDash"]["field"], line["color"]["field"]) == (
        "strength",
        "sign",
        "feeds",
    )


def test_an_edge_says_whether_it_feeds_queries_keys_or_values():
    drawn = dataset(circuit_graph(largest()), "edges").set_index(["writer", "reader"])["feeds"]
    assert drawn["a0.h1", "a3.h0.k"] == "keys"
    assert drawn["embed", "a3.h0.q"] == "queries"
    assert drawn["embed", "a3.h0.v"] == "values"
    assert drawn["a3.h0", "logits"] == "logits"
    assert drawn["embed", "m0"] == "MLP input"


def test_every_edge_rises_from_the_top_of_its_writer_to_the_bottom_of_its_reader():
    layout = lay_out(largest(), width=800)
    boxes = layout.nodes.set_index("node")
    for edge in layout.edges.to_dict("records"):
        assert (np.diff(edge["ys"]) > 0).all(), edge
        writer, target = boxes.loc[edge["writer"]], boxes.loc[edge["target"]]
        assert edge["ys"][0] == pytest.approx(writer["top"], abs=0.1)
        assert edge["ys"][-1] == pytest.approx(target["bottom"], abs=0.1)
        assert target["left"] <= edge["xs"][-1] <= target["right"]
    assert boxes["y"].idxmin() == "embed"
    assert boxes["y"].idxmax() == "logits"


def test_boxes_do_not_overlap_even_where_a_layer_has_many_heads():
    many = edges(*[("embed", f"a0.h{head}.v", 1.0) for head in range(24)], ("a0.h3", "m0", 1.0), ("m0", "logits", 1.0))
    row = lay_out(many, width=800).nodes.query("kind == 'head'").sort_values("x")
    assert (row["left"].to_numpy()[1:] >= row["right"].to_numpy()[:-1]).all()


def test_rows_that_the_circuit_does_not_use_take_up_no_height():
    low = lay_out(edges(("embed", "a0.h0.v", 1.0), ("a0.h0", "logits", 1.0)), width=800)
    high = lay_out(edges(("embed", "a40.h0.v", 1.0), ("a40.h0", "logits", 1.0)), width=800)
    assert low.height == high.height


def test_shared_keys_and_values_are_nodes_of_their_own():
    grouped = edges(("embed", "a0.kv0.k", 1.0), ("embed", "a0.h0.q", 1.0), ("a0.h0", "logits", 1.0))
    nodes = lay_out(grouped, width=800).nodes.set_index("node")
    assert nodes["kind"]["a0.kv0"] == "key-value head"
    assert nodes["y"]["a0.kv0"] < nodes["y"]["a0.h0"]


def test_a_node_counts_and_sums_its_edges():
    nodes = lay_out(edges(("embed", "m0", 2.0), ("embed", "m1", 1.0), ("m0", "m1", -0.5)), width=800).nodes
    nodes = nodes.set_index("node")
    assert nodes.loc[["m1"], ["edges_in", "score_in", "edges_out"]].to_numpy().tolist() == [[2, 0.5, 0]]
    assert nodes["score_out"].isna()["m1"]


def test_the_circuits_of_several_models_are_not_laid_over_each_other():
    with pytest.raises(InputError, match=r"values of 'size' \(200k, 500k, 1m\)"):
        circuit_graph(circuit_edges())


def test_a_name_that_is_no_nodes_is_refused():
    with pytest.raises(InputError, match=r"cannot read 'head 3' as a node"):
        circuit_graph(edges(("head 3", "logits", 1.0)))
