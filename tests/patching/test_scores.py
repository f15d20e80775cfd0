from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph, Node
from interp_emerge.patching.base import EdgeScores, NodeScores
from interp_emerge.stats.intervals import mean_interval
from interp_emerge.stats.significance import false_discovery, sign_flip_p_values

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)


def edge_scores(given: dict[tuple[str, str], float]) -> EdgeScores:
    scores = np.zeros(GRAPH.exists.shape)
    for (writer, reader), score in given.items():
        scores[GRAPH.writer_names.index(writer), GRAPH.reader_names.index(reader)] = score
    return EdgeScores(graph=GRAPH, scores=scores, standard_errors=0 * scores, origin={"method": "by hand"})


def edges_of_pairs(n: int = 40, *places: int, **given: Any) -> EdgeScores:
    """Edges whose values scatter around zero; those of the first edge scatter around one, and the last is always 0."""
    values = np.random.default_rng(n).normal(0, 0.2, (n, *places, GRAPH.n_edges)).astype(np.float32)
    values[..., 0] += 1
    values[..., -1] = 0
    return EdgeScores.from_pairs(GRAPH, values, **given)


PATH = {("embed", "a0.h0.v"): 3.0, ("a0.h0", "a1.h1.k"): -2.0, ("a1.h1", "logits"): 1.0}


def test_the_strongest_edges_make_the_circuit_and_keep_their_scores():
    circuit = edge_scores(PATH).top(3)
    assert [*zip(*circuit.to_frame().to_numpy().T, strict=True)] == [(*edge, score) for edge, score in PATH.items()]
    assert circuit.origin == {"method": "by hand"}


def test_dead_ends_among_the_strongest_edges_are_dropped():
    assert len(edge_scores(PATH | {("embed", "m1"): 9.0}).top(4)) == 3
    assert len(edge_scores(PATH | {("embed", "m1"): 9.0}).top(3)) == 0


def test_ranking_by_score_puts_negative_edges_last_and_by_magnitude_where_they_belong():
    scores = edge_scores(PATH)
    names = [
        [(GRAPH.writer_names[w], GRAPH.reader_names[r]) for w, r in scores.ranked(by)] for by in ("magnitude", "score")
    ]
    assert names[0][:3] == [*PATH]
    assert (names[1][:2], names[1][-1]) == ([("embed", "a0.h0.v"), ("a1.h1", "logits")], ("a0.h0", "a1.h1.k"))


def test_all_edges_make_the_whole_graph():
    assert (edge_scores(PATH).top(GRAPH.n_edges).kept == GRAPH.exists).all()


@pytest.mark.parametrize("n", [0, -1, GRAPH.n_edges + 1])
def test_a_number_of_edges_that_cannot_be_is_refused(n: int):
    with pytest.raises(InputError, match=rf"top\({n}\): the graph has {GRAPH.n_edges} edges; ask for 1 to"):
        edge_scores(PATH).top(n)


def test_the_edges_above_a_threshold_make_the_circuit_less_dead_ends():
    scores = edge_scores(PATH | {("embed", "a1.h1.q"): 1.0, ("embed", "m1"): 9.0})
    assert {(edge.writer, edge.reader) for edge in scores.above(1.0).edges} == {
        ("embed", "a1.h1.q"), ("a1.h1", "logits"),
    }  # fmt: skip
    assert len(scores.above(1.01)) == 0
    assert len(scores.above(-2.0)) == GRAPH.n_edges
    assert scores.above(1.0).origin == {"method": "by hand"}


def test_a_threshold_by_magnitude_keeps_negative_edges_too():
    scores = edge_scores(PATH | {("embed", "a1.h1.q"): 0.5})
    assert len(scores.above(1.0)) == 0
    assert len(scores.above(1.0, by="magnitude")) == 3
    assert scores.above(0.5, by="magnitude") == scores.top(4)


@pytest.mark.parametrize(("fraction", "n"), [(1e-9, 1), (0.06, 3), (0.5, 23), (1.0, 46)])
def test_a_share_is_that_fraction_of_the_edges_of_the_graph_and_at_least_one(fraction: float, n: int):
    scores = edges_of_pairs(40)
    assert scores.graph.n_edges == 46
    for by in ("score", "magnitude"):
        assert scores.share(fraction, by=by) == scores.top(n, by=by)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, np.nan])
def test_a_share_that_cannot_be_is_refused(fraction: float):
    with pytest.raises(InputError, match=r"share\(.*\) is not a fraction of the graph's edges; ask for more than 0"):
        edge_scores(PATH).share(fraction)


def test_edges_of_pairs_have_their_mean_and_its_standard_error():
    scores = edges_of_pairs(40)
    assert scores.per_pair is not None
    frame = scores.to_frame()
    values = scores.per_pair.astype(np.float64)
    np.testing.assert_allclose(frame["score"], values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(frame["standard_error"], values.std(0, ddof=1) / 40**0.5, rtol=1e-12)
    assert (scores.scores[~GRAPH.exists] == 0).all()
    assert (edges_of_pairs(1).standard_errors == 0).all()


def test_the_table_of_edges_has_the_bootstrap_interval_and_the_sign_flip_test_of_its_pairs():
    scores = edges_of_pairs(40)
    assert scores.per_pair is not None
    frame = scores.to_frame()
    assert [*frame.columns] == [
        "writer", "reader", "score", "standard_error", "ci_low", "ci_high", "p_value", "q_value",
    ]  # fmt: skip
    alone = mean_interval(scores.per_pair[:, 3].astype(np.float64))
    assert tuple(frame.loc[3, ["ci_low", "ci_high"]]) == pytest.approx((alone.low, alone.high))
    p_values = sign_flip_p_values(scores.per_pair)
    assert [*frame["p_value"]] == pytest.approx(p_values)
    assert [*frame["q_value"]] == pytest.approx(false_discovery(p_values))
    assert [*np.flatnonzero(frame["q_value"] < 0.01)] == [0]
    assert (frame["q_value"] >= frame["p_value"]).all()


def test_an_edge_without_effect_on_any_pair_shows_nothing():
    for scores in (edges_of_pairs(40), without_pairs(edges_of_pairs(40), n_pairs=40)):
        last = scores.to_frame().iloc[-1]
        assert (last["score"], last["ci_low"], last["ci_high"], last["p_value"], last["q_value"]) == (0, 0, 0, 1, 1)


def without_pairs(scores: EdgeScores, **origin: int) -> EdgeScores:
    return EdgeScores(graph=GRAPH, scores=scores.scores, standard_errors=scores.standard_errors, origin={**origin})


def test_without_the_values_of_pairs_interval_and_p_value_are_nearly_those_with_them():
    scores = edges_of_pairs(200)
    frame, summary = scores.to_frame(), without_pairs(scores, n_pairs=200).to_frame()
    assert np.abs(summary["ci_low"] - (summary["score"] - 1.96 * summary["standard_error"])).max() == 0
    for column in ("ci_low", "ci_high"):
        # Largest difference 0.0027, a fifth of a standard error.
        np.testing.assert_allclose(summary[column], frame[column], atol=0.004)
    # Largest difference 0.0015.
    np.testing.assert_allclose(summary["p_value"], frame["p_value"], atol=0.003)
    assert frame["p_value"].between(0.01, 0.99).sum() > 30


def test_scores_that_are_no_means_over_pairs_have_neither_interval_nor_p_value():
    frame = edge_scores(PATH).to_frame()
    assert frame.loc[frame["score"] != 0, ["ci_low", "ci_high", "p_value", "q_value"]].isna().all(axis=None)
    assert without_pairs(edges_of_pairs(40)).to_frame()["p_value"].isna().all()


def test_a_table_of_edges_gives_its_scores_back():
    scores = edges_of_pairs(40, origin={"n_pairs": 40})
    back = EdgeScores.from_frame(GRAPH, scores.to_frame(), origin={"n_pairs": 40})
    assert (back.scores == scores.scores).all() and (back.standard_errors == scores.standard_errors).all()
    assert back.per_pair is None
    again = EdgeScores.from_frame(GRAPH, back.to_frame(), origin=back.origin)
    pd.testing.assert_frame_equal(again.to_frame(), back.to_frame())


def test_a_table_of_another_graph_is_refused():
    with pytest.raises(InputError, match=r"lists \d+ edges, not the \d+ of this graph in its order"):
        EdgeScores.from_frame(GRAPH, edges_of_pairs(4).to_frame().iloc[::-1])


PLACES = ("0", "1", "last")


def test_edges_by_position_are_listed_position_after_position():
    scores = edges_of_pairs(40, 3, positions=PLACES)
    frame = scores.to_frame()
    assert [*frame.columns[:4]] == ["writer", "reader", "position", "score"]
    assert scores.scores.shape == (3, *GRAPH.exists.shape) and len(frame) == 3 * GRAPH.n_edges
    first_edge = frame[(frame["writer"] == "embed") & (frame["reader"] == "a0.h0.q")]
    assert [*first_edge["position"]] == [*PLACES]
    assert [*first_edge["score"]] == pytest.approx(scores.scores[:, 0, 0])
    alone = EdgeScores.from_pairs(GRAPH, edge_values(scores)[:, 1]).to_frame()
    columns = ["writer", "reader", "score", "standard_error", "ci_low", "ci_high", "p_value"]
    at_second = frame[frame["position"] == "1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(at_second[columns], alone[columns], rtol=1e-6)
    assert [*frame["q_value"]] == pytest.approx(false_discovery(frame["p_value"].to_numpy()))


def edge_values(scores: EdgeScores) -> np.ndarray:
    assert scores.per_pair is not None
    return scores.per_pair


def test_a_circuit_is_not_chosen_from_edges_by_position():
    scores = edges_of_pairs(4, 3, positions=PLACES)
    for choose in (scores.ranked, lambda: scores.top(3), lambda: scores.above(0.5)):
        with pytest.raises(InputError, match="collapse positions first: these are scores at 3 positions"):
            choose()
    with pytest.raises(InputError, match="collapse positions first: a table of edges by position"):
        EdgeScores.from_frame(GRAPH, scores.to_frame())


def test_edges_of_another_shape_than_the_graph_are_refused():
    zeros = np.zeros(GRAPH.exists.shape)
    with pytest.raises(InputError, match=r"scores has shape \(2, 2\), but .* need \(7, 15\)"):
        EdgeScores(graph=GRAPH, scores=np.zeros((2, 2)), standard_errors=zeros)
    with pytest.raises(InputError, match=r"per_pair has shape \(4, 5\), but .* need \('pairs', 46\)"):
        EdgeScores(graph=GRAPH, scores=zeros, standard_errors=zeros, per_pair=np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"per_pair has shape \(4, 2, 46\), but .* need \('pairs', 3, 46\)"):
        edges_of_pairs(4, 2, positions=PLACES)
    with pytest.raises(InputError, match=r"per_pair of shape \(0, 46\) has no pair"):
        edges_of_pairs(0)


def node_scores(**given: float) -> NodeScores:
    mean = np.array([given.get(name.replace(".", "_"), 0.0) for name in GRAPH.writer_names])
    return NodeScores(graph=GRAPH, per_pair=mean + np.tile([[-0.1], [0.1]], (3, 1)))


def test_the_table_of_nodes_has_means_with_intervals_around_them():
    frame = node_scores(a0_h1=1.0, m1=-2.0).to_frame().set_index("node")
    ends = t.ppf(0.975, 5) * 0.1 / 5**0.5  # six pairs
    assert frame.loc["a0.h1", "score"] == pytest.approx(1)
    assert tuple(frame.loc["a0.h1", ["ci_low", "ci_high"]]) == pytest.approx((1 - ends, 1 + ends))
    assert tuple(frame.loc["m1", ["layer", "kind", "index"]]) == (1, "mlp", 0)
    assert frame.loc["embed", "layer"] == -1


def test_the_strongest_nodes_make_a_circuit_of_all_edges_between_them():
    circuit = node_scores(a0_h1=1.0, m1=-2.0, a0_h0=0.1).top(2)
    assert {node for edge in circuit.edges for node in (edge.writer, edge.reader)} == {
        "embed", "a0.h1", "m1", "a0.h1.q", "a0.h1.k", "a0.h1.v", "logits",
    }  # fmt: skip
    # embed to three sides, m1 and logits; the head to m1 and logits; m1 to logits
    assert len(circuit) == 5 + 2 + 1
    assert node_scores(a0_h1=1.0, m1=-2.0).top(1, by="score").heads == ["a0.h1"]


@pytest.mark.parametrize("n", [0, len(GRAPH.writers) + 1])
def test_a_number_of_nodes_that_cannot_be_is_refused(n: int):
    with pytest.raises(InputError, match=rf"top\({n}\): 7 writers were scored; ask for 1 to 7"):
        node_scores().top(n)


def test_the_table_of_nodes_has_the_sign_flip_test_over_all_its_rows():
    frame = node_scores(a0_h1=1.0).to_frame().set_index("node")
    # With six pairs of the same sign, the smallest p-value is 2 / 2^6. The others are ±0.1 and cancel.
    assert frame.loc["a0.h1", "p_value"] == 2 / 64
    assert (frame.drop("a0.h1")["p_value"] == 1).all()
    assert frame.loc["a0.h1", "q_value"] == pytest.approx(len(frame) * 2 / 64)


def test_nodes_are_the_writers_unless_others_are_given():
    assert node_scores().nodes == GRAPH.writers
    chosen = (Node(1, "head", 0), Node(1, "k", 1))
    frame = NodeScores(graph=GRAPH, nodes=chosen, per_pair=np.ones((5, 2))).to_frame()
    assert [*frame["node"]] == ["a1.h0", "a1.h1.k"]
    assert [*frame["kind"]] == ["head", "k"] and [*frame["index"]] == [0, 1]


def test_shared_keys_are_named_by_their_key_value_head():
    grouped = Graph(n_layers=1, n_heads=4, n_kv_heads=2, parallel=False)
    frame = NodeScores(graph=grouped, nodes=(Node(0, "k", 1),), per_pair=np.ones((5, 1))).to_frame()
    assert [*frame["node"]] == ["a0.kv1.k"]


def test_nodes_by_position_are_listed_position_after_position():
    values = np.random.default_rng(0).normal(size=(20, 3, 7))
    scores = NodeScores(graph=GRAPH, per_pair=values, positions=PLACES)
    frame = scores.to_frame()
    assert [*frame.columns] == [
        "node", "position", "score", "ci_low", "ci_high", "p_value", "q_value", "layer", "kind", "index",
    ]  # fmt: skip
    assert (scores.scores == values.mean(0)).all()
    assert [*frame["position"]] == ["0"] * 7 + ["1"] * 7 + ["last"] * 7
    row = frame[(frame["node"] == "m0") & (frame["position"] == "last")].iloc[0]
    assert (row["score"], row["layer"], row["kind"]) == (pytest.approx(values[:, 2, 3].mean()), 0, "mlp")
    assert row["p_value"] == pytest.approx(sign_flip_p_values(values[:, 2, [3]])[0])


def test_a_circuit_is_not_chosen_from_nodes_by_position_or_from_nodes_that_are_not_writers():
    by_position = NodeScores(graph=GRAPH, per_pair=np.ones((2, 3, 7)), positions=PLACES)
    with pytest.raises(InputError, match=r"top\(2\): collapse positions first: these are scores at 3 positions"):
        by_position.top(2)
    others = NodeScores(graph=GRAPH, nodes=(Node(0, "head", 0), Node(1, "k", 1)), per_pair=np.ones((2, 2)))
    with pytest.raises(
        InputError, match=r"top\(2\): .* a1\.h1\.k is not a writer; score the sites embed, head and mlp"
    ):
        others.top(2)


def test_a_circuit_is_chosen_from_some_writers_and_the_embedding():
    some = NodeScores(graph=GRAPH, nodes=GRAPH.writers[1:4], per_pair=np.array([[3.0, 1.0, 2.0]]))
    assert some.top(2).nodes == ["embed", "a0.h0", "m0"]


def test_nodes_of_another_number_and_scores_of_no_pair_are_refused():
    with pytest.raises(InputError, match=r"per_pair has shape \(2, 6\), but .* need \('pairs', 7\)"):
        NodeScores(graph=GRAPH, per_pair=np.ones((2, 6)))
    with pytest.raises(InputError, match=r"per_pair of shape \(0, 7\) has no pair; score at least one"):
        NodeScores(graph=GRAPH, per_pair=np.ones((0, 7)))
