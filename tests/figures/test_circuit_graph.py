import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures._export import save
from interp_emerge.figures._layout import Layout, lay_out
from interp_emerge.figures._ordering import curve_crossings
from interp_emerge.figures._theme import NODE_COLOURS, ROLE_TINTS
from interp_emerge.figures.circuit_graph import circuit_graph
from tests.figures.drawn import assert_same_rows, dataset, encodings
from tests.figures.invented import circuit_edges, roles
from tests.figures.large import circuit


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


def crossings(layout: Layout) -> int:
    edges = layout.edges
    number = {name: place for place, name in enumerate(dict.fromkeys([*edges["writer"], *edges["target"]]))}
    ends = edges[["writer", "target"]].map(number.__getitem__).to_numpy()
    return curve_crossings(np.array(edges["xs"].tolist()), np.array(edges["ys"].tolist()), ends)


def test_crossings_of_curves_are_counted():
    x, y = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), np.array([[0.0, 1.0]] * 3)
    assert curve_crossings(x, y, np.array([[0, 1], [2, 3], [4, 5]])) == 1
    assert curve_crossings(x, y, np.array([[0, 1], [0, 3], [4, 5]])) == 0, "edges of one node meet there"


def test_the_circuit_of_a_model_of_30_layers_fits_on_one_screen(tmp_path):
    table = circuit()
    chart = circuit_graph(table)
    start = save(chart, tmp_path / "graph.svg").read_text()[:400]
    width, height = (float(start.split(f' {side}="')[1].split('"')[0]) for side in ("width", "height"))
    assert width <= 1200 and height <= 900
    drawn = dataset(chart, "edges")
    note = chart.to_dict(validate=False)["title"]["text"]
    assert note.startswith(f"{len(table) - len(drawn)} of 389 edges below the threshold of ")
    assert len(drawn) == 120
    ranked = table.assign(strength=table["score"].abs()).sort_values("strength", ascending=False)
    assert drawn["strength"].min() > ranked["strength"].iloc[120]
    assert_same_rows(drawn, ranked.head(120), ["writer", "reader", "score"])


def test_every_node_is_drawn_or_counted_in_a_fold():
    layout, whole = lay_out(circuit(), width=810), lay_out(circuit(), width=810, most=389)
    hidden = set(whole.nodes["node"]) - set(layout.nodes["node"])
    assert layout.folds["label"].str.removeprefix("+").astype(int).sum() == len(hidden) > 0
    assert whole.folds.empty and whole.note == ""


def test_boxes_of_a_large_circuit_do_not_overlap():
    nodes = lay_out(circuit(), width=810, most=389).nodes
    x, y = (nodes[[low, high]].to_numpy() for low, high in (("left", "right"), ("bottom", "top")))
    apart = [(ends[:, None, 0] >= ends[None, :, 1]) | (ends[None, :, 0] >= ends[:, None, 1]) for ends in (x, y)]
    overlap = ~(apart[0] | apart[1])
    np.fill_diagonal(overlap, False)
    assert not overlap.any()


@pytest.mark.parametrize(("table", "in_columns", "least"), [(circuit(), 1100, 0.4), (largest(), 393, 0.1)])
def test_heads_are_placed_such_that_fewer_edges_cross_than_in_columns_by_index(table, in_columns, least):
    before, after = (crossings(lay_out(table, width=810, ordered=ordered)) for ordered in (False, True))
    assert after <= (1 - least) * before
    assert after < in_columns


def test_a_tie_at_the_threshold_is_drawn_or_left_out_as_a_whole():
    tied = edges(("embed", "m0", 2.0), ("m0", "m1", 1.0), ("m1", "m2", 1.0), ("m2", "logits", 3.0))
    layout = lay_out(tied, width=800, most=3)
    assert layout.edges["score"].tolist() == [2.0, 3.0]
    assert layout.note == "2 of 4 edges below the threshold of 2 are not drawn, 29% of the sum of all |scores|"
    assert len(lay_out(tied.assign(score=1.0), width=800, most=3).edges) == 3


def test_roles_stand_below_the_names_of_their_heads():
    table = roles()
    chart = circuit_graph(largest(), roles=table[table["size"] == "1m"])
    nodes = dataset(chart, "nodes").set_index("node")["label"]
    assert nodes.dropna().to_dict() == {"a0.h1": "previous token", "a3.h0": "induction"}
    assert dataset(circuit_graph(largest(), roles={"m0": "x"}), "nodes")["label"].dropna().tolist() == ["x"]
    with pytest.raises(InputError, match="roles lacks column 'role'"):
        circuit_graph(largest(), roles=table.drop(columns="role"))


def test_a_head_has_the_colour_of_its_first_role_and_the_search_field_an_example_of_it():
    played = {"a3.h0": "induction, copying", "a0.h1": "previous_token", "a1.h2": "≙ a0.h0"}
    chart = circuit_graph(largest(), roles=played)
    nodes = dataset(chart, "nodes").set_index("node")
    assert nodes.loc[["a3.h0", "a0.h1", "a1.h2"], "shade"].to_list() == ["induction", "previous token", "head"]
    scale = next(one["color"]["scale"] for one in encodings(chart, "rect") if "color" in one)
    colours = dict(zip(scale["domain"], scale["range"], strict=True))
    assert [colours[shade] for shade in ("induction", "previous token", "head")] == [
        ROLE_TINTS["induction"],
        ROLE_TINTS["previous_token"],
        NODE_COLOURS["head"],
    ]
    (field,) = [one for one in chart.to_dict()["params"] if one["name"] == "sought"]
    node, role = field["bind"]["placeholder"].split(" or ")
    assert role in nodes.loc[node, "searched"] and node in nodes.loc[node, "searched"]


def test_a_node_lists_its_strongest_edges():
    nodes = lay_out(edges(("embed", "m0", 2.0), ("embed", "m1", 1.0), ("m0", "m1", -1.5)), width=800).nodes
    nodes = nodes.set_index("node")
    assert nodes["strongest_in"]["m1"] == "m0 -1.5, embed +1"
    assert nodes["strongest_out"]["embed"] == "m0 +2, m1 +1"


def test_an_edge_that_stands_twice_is_refused():
    with pytest.raises(InputError, match=r"several rows of writer embed, reader m0"):
        circuit_graph(edges(("embed", "m0", 2.0), ("embed", "m0", 1.0)))
