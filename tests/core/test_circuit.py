import json
from pathlib import Path

import networkx
import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.circuit_file import CircuitFile
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Edge
from tests.models.small_models import small_model

PATH = [("embed", "a0.h1.k"), ("a0.h1", "a1.h0.q"), ("a1.h0", "logits")]


@pytest.fixture
def circuit() -> ie.Circuit:
    return ie.Circuit.from_edges(small_model("gpt_neox"), PATH, method="by hand")


def with_scores(circuit: ie.Circuit) -> ie.Circuit:
    scores = np.where(circuit.kept, np.random.default_rng(0).standard_normal(circuit.kept.shape), 0)
    return ie.Circuit(graph=circuit.graph, kept=circuit.kept, scores=scores, origin=circuit.origin)


def test_a_circuit_holds_the_edges_it_was_made_of(circuit: ie.Circuit):
    assert len(circuit) == 3
    assert circuit.edges == [Edge(*edge) for edge in PATH]
    assert circuit.heads == ["a0.h1", "a1.h0"]
    assert circuit.origin == {"model": small_model("gpt_neox").spec.to_dict(), "method": "by hand"}
    assert repr(circuit) == f"Circuit(3 of {circuit.graph.n_edges} edges, heads a0.h1 a1.h0)"


def test_edges_that_the_model_lacks_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown reader 'a0\.h0\.k'; did you mean 'a0\.h0\.q'"):
        ie.Circuit.from_edges(small_model("llama_grouped"), [("embed", "a0.h0.k")])


def test_edges_of_another_shape_are_refused(circuit: ie.Circuit):
    with pytest.raises(
        InputError,
        match=r"kept has shape \(2, 2\) and scores has shape \(2, 2\); for this graph give both as \(16, 40\)",
    ):
        ie.Circuit(graph=circuit.graph, kept=np.ones((2, 2), dtype=bool), scores=np.zeros((2, 2)))


def test_circuits_are_equal_when_their_graph_and_edges_are(circuit: ie.Circuit):
    same = ie.Circuit.from_edges(small_model("gpt_neox"), reversed(PATH), method="another")
    assert circuit == same and hash(circuit) == hash(same)
    assert circuit != ie.Circuit.from_edges(small_model("gpt_neox"), PATH[:2])
    assert circuit != ie.Circuit.from_edges(small_model("gpt2"), PATH)
    assert circuit != "circuit"


def test_the_table_has_one_row_for_each_edge_with_its_score(circuit: ie.Circuit):
    scored = with_scores(circuit)
    frame = scored.to_frame()
    assert list(frame.columns) == ["writer", "reader", "score"]
    assert [*zip(frame["writer"], frame["reader"], strict=True)] == PATH
    assert frame["score"].tolist() == scored.scores[scored.kept].tolist()


def test_circuits_of_one_graph_are_sets_of_edges(circuit: ie.Circuit):
    model = small_model("gpt_neox")
    other = ie.Circuit.from_edges(model, [*PATH[1:], ("embed", "m0")])
    names = {Edge(*edge) for edge in PATH}, {Edge(*edge) for edge in [*PATH[1:], ("embed", "m0")]}
    assert {*(circuit | other).edges} == names[0] | names[1]
    assert {*(circuit & other).edges} == names[0] & names[1]
    assert {*(circuit - other).edges} == names[0] - names[1]
    assert {*(circuit ^ other).edges} == names[0] ^ names[1]
    assert (circuit & other) <= circuit and not circuit <= other
    assert circuit | circuit.complement() == ie.Circuit.from_edges(model, []).complement()
    assert len(circuit & circuit.complement()) == 0
    assert (circuit | other).origin == {"operation": "|", "of": [circuit.origin, other.origin]}


def test_the_union_has_the_scores_of_the_left_circuit_and_where_it_has_none_of_the_right_one(circuit: ie.Circuit):
    scored, other = with_scores(circuit), with_scores(ie.Circuit.from_edges(small_model("gpt_neox"), PATH[:1]))
    other = ie.Circuit(graph=other.graph, kept=other.kept, scores=other.scores + 1)
    assert ((scored | other).scores == scored.scores).all()
    assert (other | scored).scores[other.kept] == other.scores[other.kept]


def test_a_part_is_less_than_the_whole(circuit: ie.Circuit):
    assert circuit.without(["a1.h0"]) < circuit
    assert not circuit < circuit and circuit <= circuit


@pytest.mark.parametrize(
    ("edges", "n_kv_heads", "message"),
    [
        ([["embed", "logits", float("nan")]], 2, "finite number"),
        ([["embed", "logits", 1.0], ["embed", "logits", 2.0]], 2, "edge embed → logits is listed twice"),
        ([["embed", "logits", 1.0]], 3, "2 heads cannot share 3 key-value heads evenly"),
        ([["zz", "logits", 1.0]], 2, r"circuit\.json: unknown writer 'zz'"),
        ([["m0", "a0.h0.q", 1.0]], 2, r"circuit\.json: there is no edge m0 → a0\.h0\.q"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(edges: list, n_kv_heads: int, message: str, tmp_path: Path):
    graph = {"n_layers": 1, "n_heads": 2, "n_kv_heads": n_kv_heads, "parallel": False}
    content = {"schema": "interp_emerge.circuit/1", "graph": graph, "origin": {}, "edges": edges}
    (tmp_path / "circuit.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        ie.Circuit.load(tmp_path / "circuit.json")


def test_a_file_that_cannot_be_written_is_one_line(circuit: ie.Circuit, tmp_path: Path):
    with pytest.raises(InputError, match="is a directory; name a file"):
        circuit.save(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        circuit.save(tmp_path / "file" / "circuit.json")


def test_circuits_of_two_graphs_are_not_joined(circuit: ie.Circuit):
    with pytest.raises(InputError, match=r"cannot combine .* give two circuits of the same graph"):
        _ = circuit | ie.Circuit.from_edges(small_model("gpt2"), PATH)


def test_a_circuit_of_nodes_holds_every_edge_between_them_and_the_embedding(circuit: ie.Circuit):
    of_nodes = ie.Circuit.from_nodes(small_model("gpt_neox"), ["a0.h1", "a1.h0"])
    assert of_nodes.nodes == ["embed", "a0.h1", "a1.h0"]
    readers = [f"{head}.{side}" for head in ("a0.h1", "a1.h0") for side in "qkv"]
    expected = {("embed", reader) for reader in [*readers, "logits"]} | {("a0.h1", r) for r in [*readers[3:], "logits"]}
    assert {(edge.writer, edge.reader) for edge in of_nodes.edges} == expected | {("a1.h0", "logits")}
    assert circuit <= of_nodes
    with pytest.raises(UnknownNameError, match=r"unknown node 'a9\.h0'"):
        ie.Circuit.from_nodes(small_model("gpt_neox"), ["a9.h0"])


def test_without_a_node_goes_all_that_hung_on_it(circuit: ie.Circuit):
    more = circuit | ie.Circuit.from_edges(small_model("gpt_neox"), [("embed", "m0"), ("m0", "logits")])
    assert more.without(["a0.h1"]).edges == [Edge("embed", "m0"), Edge("m0", "logits")]
    assert len(circuit.without(["a1.h0"])) == 0
    assert circuit.without([]) == circuit


def test_graphml_is_read_back_with_readers_and_scores(circuit: ie.Circuit, tmp_path: Path):
    scored = with_scores(circuit)
    scored.to_graphml(tmp_path / "circuit.graphml")
    back = networkx.read_graphml(tmp_path / "circuit.graphml", force_multigraph=True)
    assert [*back.edges(data="reader")] == [*scored.to_networkx().edges(data="reader")]
    assert [score for *_, score in back.edges(data="score")] == [
        s for *_, s in scored.to_networkx().edges(data="score")
    ]
    assert json.loads(back.graph["origin"]) == scored.origin


def test_the_published_schema_is_that_of_the_files():
    published = Path(__file__).parents[2] / "docs" / "circuit.schema.json"
    assert json.loads(published.read_text()) == CircuitFile.model_json_schema()


def test_a_saved_circuit_comes_back_with_edges_scores_and_origin(circuit: ie.Circuit, tmp_path: Path):
    scored = with_scores(circuit)
    scored.save(tmp_path / "deep" / "circuit.json")
    back = ie.Circuit.load(tmp_path / "deep" / "circuit.json")
    assert back == scored
    assert (back.scores == scored.scores).all()
    assert back.origin == scored.origin


def test_saving_twice_writes_the_same_bytes(circuit: ie.Circuit, tmp_path: Path):
    with_scores(circuit).save(tmp_path / "a.json")
    ie.Circuit.load(tmp_path / "a.json").save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_as_a_graph_a_head_is_one_component_between_what_enters_and_what_leaves_it(circuit: ie.Circuit):
    directed = with_scores(circuit).to_networkx()
    assert networkx.has_path(directed, "embed", "logits")
    assert [*directed.edges(data="reader")] == [
        ("embed", "a0.h1", "a0.h1.k"),
        ("a0.h1", "a1.h0", "a1.h0.q"),
        ("a1.h0", "logits", "logits"),
    ]


def test_as_a_graph_two_readers_of_one_head_are_two_edges():
    edges = [("embed", "a0.h1.q"), ("embed", "a0.h1.k"), ("embed", "m0"), ("m0", "logits")]
    directed = ie.Circuit.from_edges(small_model("gpt2"), edges).to_networkx()
    assert directed.number_of_edges("embed", "a0.h1") == 2
    assert set(directed.nodes) == {"embed", "a0.h1", "m0", "logits"}


def test_as_a_graph_a_shared_key_leads_to_every_head_of_its_group():
    circuit = ie.Circuit.from_edges(small_model("llama_grouped"), [("embed", "a0.kv0.k"), ("a0.h1", "logits")])
    directed = circuit.to_networkx()
    assert set(directed.successors("embed")) == {"a0.h0", "a0.h1"}
    assert networkx.has_path(directed, "embed", "logits")


def test_a_circuit_of_heads_that_a_norm_joins_is_saved_with_that(tmp_path: Path):
    joined = ie.Circuit.from_edges(small_model("olmo2"), [("embed", "a0.h0.q"), ("a0.h1", "logits")])
    joined.save(tmp_path / "circuit.json")
    back = ie.Circuit.load(tmp_path / "circuit.json")
    assert back == joined and back.graph.joined and back.graph.rescaled


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "\0",
        "{}",
        '{"schema": "interp_emerge.circuit/1"}',
        json.dumps({"schema": "interp_emerge.circuit/1", "graph": {"n_layers": 1}, "origin": {}, "edges": []}),
        json.dumps(
            {
                "schema": "interp_emerge.circuit/1",
                "graph": {"n_layers": 1, "n_heads": 1, "n_kv_heads": 1, "parallel": True},
                "edges": [["embed", "logits", 0]],
            }
        ),
        json.dumps(
            {
                "schema": "interp_emerge.circuit/1",
                "graph": {"n_layers": "1", "n_heads": 1, "n_kv_heads": 1, "parallel": True},
                "origin": {},
                "edges": [],
            }
        ),
    ],
)
def test_a_file_that_holds_no_circuit_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "circuit.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"is not a circuit file .*; write one with Circuit\.save"):
        ie.Circuit.load(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is not a circuit file"):
        ie.Circuit.load(tmp_path / "circuit.json")


def test_a_file_of_another_version_says_which_one_is_read(circuit: ie.Circuit, tmp_path: Path):
    path = tmp_path / "circuit.json"
    circuit.save(path)
    path.write_text(path.read_text().replace("circuit/1", "circuit/9"))
    with pytest.raises(
        InputError, match=r"has schema 'interp_emerge\.circuit/9', and this version reads 'interp_emerge\.circuit/1'"
    ):
        ie.Circuit.load(path)
