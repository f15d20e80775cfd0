from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding.find import edges_in, find_circuit, selected_again
from interp_emerge.circuits.finding.selection import grow, smallest_faithful
from interp_emerge.core.errors import InputError, UnknownNameError
from tests.models.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return telling_pairs(small_model("llama_grouped"))


def test_each_way_to_set_the_size_gives_what_its_selection_gives(pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    scores = score_edges(model, pairs, "eap")
    ways: list[tuple[dict[str, Any], ie.Circuit]] = [
        ({"n_edges": 20}, scores.top(20)),
        ({"n_edges": 20, "by": "score"}, scores.top(20, by="score")),
        ({"share": 0.2}, scores.top(edges_in(model.graph, 0.2))),
        ({"n_edges": 20, "select": "grow"}, grow(scores, 20)),
        ({"threshold": 0.01}, scores.above(0.01)),
        ({"threshold": 0.01, "by": "magnitude"}, scores.above(0.01, by="magnitude")),
        ({}, smallest_faithful(ie.Runs(model, pairs), scores)),
        ({"target": 0.5, "sure": False}, smallest_faithful(ie.Runs(model, pairs), scores, target=0.5, sure=False)),
    ]
    for options, expected in ways:
        found = find_circuit(ie.Runs(model, pairs), method="eap", **options)
        assert found.circuit == expected, options
        assert len(found.circuit)


def test_a_model_and_pairs_do_instead_of_runs(pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    short = find_circuit(model, pairs, method="eap", n_edges=9)
    long = find_circuit(ie.Runs(model, pairs), method="eap", n_edges=9)
    assert short.circuit == long.circuit
    tests = [
        ie.examine(model, short.circuit, pairs, parts=[]),
        ie.examine(ie.Runs(model, pairs), short.circuit, parts=[]),
    ]
    assert tests[0].evaluation.faithfulness == tests[1].evaluation.faithfulness
    with pytest.raises(InputError, match="the pairs are missing; give"):
        find_circuit(model)
    with pytest.raises(InputError, match="the runs have pairs already"):
        ie.examine(ie.Runs(model, pairs), short.circuit, pairs)


def test_nodes_are_chosen_from_scores_of_nodes(pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    found = find_circuit(ie.Runs(model, pairs), method="activation_patching", n_nodes=5)
    assert found.circuit == ie.score(model, pairs, method="activation_patching").top(5)
    assert 1 < len(found.circuit.nodes) <= 6
    # Ablation scores only heads and MLPs, but the embedding is in the circuit nevertheless.
    assert "embed" in find_circuit(ie.Runs(model, pairs), method="ablation", n_nodes=5).circuit.nodes


def test_a_circuit_records_how_it_was_selected_and_is_selected_again_in_the_same_way(pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    ways = {"n_edges": 30, "by": "score"}, {"threshold": 0.02}, {"n_edges": 30, "select": "grow"}, {"share": 0.2}
    for options in ways:
        asked: dict[str, Any] = {"method": "eap", **options}
        found = find_circuit(ie.Runs(model, pairs), **asked)
        assert {*options.items()} - {("share", 0.2)} <= {*found.circuit.origin["selection"].items()}
        assert isinstance(found.scores, ie.EdgeScores)
        again = selected_again(found.scores, found.circuit, resamples=10)
        assert again.jaccard.value > again.random


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_edges": 3, "target": 0.8}, "a target and a number of edges each set the size .* give only one"),
        ({"share": 0.0}, "share=0 is not a share"),
        ({"share": 1.1}, "give a number above 0 and at most 1"),
        ({"n_nodes": 3}, "method 'eap' scores edges; leave n_nodes out"),
        ({"threshold": 1.0, "select": "grow"}, "select='grow' does not work with a threshold; give a target"),
        ({"method": "activation_patching"}, "scores nodes; give n_nodes"),
    ],
)
def test_sizes_that_contradict_each_other_or_the_method_are_refused(
    options: dict[str, Any], message: str, pairs: ie.PromptPairs
):
    asked: dict[str, Any] = {"method": "eap", **options}
    with pytest.raises(InputError, match=message):
        find_circuit(ie.Runs(small_model("llama_grouped"), pairs), **asked)


@pytest.mark.parametrize(("name", "value", "near"), [("select", "gro", "grow"), ("by", "scores", "score")])
def test_unknown_selections_and_orders_are_refused(name: str, value: str, near: str, pairs: ie.PromptPairs):
    asked: dict[str, Any] = {name: value}
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        find_circuit(ie.Runs(small_model("llama_grouped"), pairs), method="eap", **asked)
