import json
from pathlib import Path

import networkx
import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Edge
from tests.core.small_models import small_model

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
    assert circuit.origin == {"model": str(small_model("gpt_neox").spec), "method": "by hand"}
    assert repr(circuit) == f"Circuit(3 of {circuit.graph.n_edges} edges, heads a0.h1 a1.h0)"


def test_edges_that_the_model_lacks_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown reader 'a0\.h0\.k'; did you mean 'a0\.h0\.q'"):
        ie.Circuit.from_edges(small_model("llama_grouped"), [("embed", "a0.h0.k")])


def test_edges_of_another_shape_are_refused(circuit: ie.Circuit):
    with pytest.raises(InputError, match=r"needs edges of shape \(16, 40\), not \(2, 2\) and \(2, 2\)"):
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
    ],
)
def test_a_file_that_holds_no_circuit_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "circuit.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"is no circuit file .*; write one with Circuit\.save"):
        ie.Circuit.load(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is no circuit file"):
        ie.Circuit.load(tmp_path / "circuit.json")


def test_a_file_of_another_version_says_which_one_is_read(circuit: ie.Circuit, tmp_path: Path):
    path = tmp_path / "circuit.json"
    circuit.save(path)
    path.write_text(path.read_text().replace("circuit/1", "circuit/9"))
    with pytest.raises(InputError, match=r"has schema 'interp_emerge\.circuit/9'; this version reads"):
        ie.Circuit.load(path)
