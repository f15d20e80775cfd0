import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.patching.base import EdgeScores, NodeScores

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)


def edge_scores(given: dict[tuple[str, str], float]) -> EdgeScores:
    scores = np.zeros(GRAPH.exists.shape)
    for (writer, reader), score in given.items():
        scores[GRAPH.writer_names.index(writer), GRAPH.reader_names.index(reader)] = score
    return EdgeScores(graph=GRAPH, scores=scores, standard_errors=0 * scores, origin={"method": "by hand"})


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


def node_scores(**given: float) -> NodeScores:
    mean = np.array([given.get(name.replace(".", "_"), 0.0) for name in GRAPH.writer_names])
    return NodeScores(graph=GRAPH, per_pair=mean + np.array([[-0.1], [0.1]]))


def test_the_table_of_nodes_has_means_with_intervals_around_them():
    frame = node_scores(a0_h1=1.0, m1=-2.0).to_frame().set_index("node")
    assert frame.loc["a0.h1", "score"] == pytest.approx(1)
    assert tuple(frame.loc["a0.h1", ["ci_low", "ci_high"]]) == pytest.approx((0.9, 1.1))
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
    with pytest.raises(InputError, match=rf"top\({n}\): the graph has 7 writers; ask for 1 to 7"):
        node_scores().top(n)
