"""Two circuits compared: by shared edges, and by running each in both models."""

from dataclasses import replace

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.compare import compare, model_of
from tests.models.small_models import small_model


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.load_family("miniature").load("25k")


@pytest.fixture(scope="module")
def circuits(model: HookedModel) -> tuple[ie.Circuit, ie.Circuit]:
    scores = ie.score(model, ie.load_ability("induction").sample(model, 16), method="eap")
    return tuple(scores.top(n).with_origin(ability="induction") for n in (8, 20))  # pyright: ignore[reportReturnType]


def test_each_circuit_runs_in_the_model_of_the_other(circuits: tuple[ie.Circuit, ie.Circuit], model: HookedModel):
    compared = compare(*circuits, names=("small", "large"), n=16)
    pairs, n = ie.load_ability("induction").sample(model, 16, seed=2000), len(circuits[0])
    expected = [ie.evaluate(model, circuit, pairs).faithfulness for circuit in circuits]
    rows = compared.tables["transfer"]
    assert rows["circuit"].tolist() == ["small", "large"]
    assert rows["faithfulness"].tolist() == pytest.approx(expected)
    assert f"In {model.spec} on induction, small keeps {expected[0]:.2f} [" in compared.sentences[1]
    assert rows["ability"].tolist() == ["induction", "induction"]
    assert compared.sentences[0].startswith(f"small and large share {n} of {n} and ")


def test_circuits_of_two_seeds_run_in_both_models(circuits: tuple[ie.Circuit, ie.Circuit]):
    other = ie.load_family("miniature").load("25k", seed=1)
    scores = ie.score(other, ie.load_ability("induction").sample(other, 16), method="eap")
    compared = compare(circuits[0], scores.top(8).with_origin(ability="induction"), n=16)
    rows = compared.tables["transfer"]
    assert rows["model"].tolist() == [f"miniature/25k/step{other.spec.step}/seed{seed}" for seed in (0, 0, 1, 1)]
    by_place = rows.set_index(["model", "circuit"])["faithfulness"]
    assert by_place[str(other.spec), "b"] > by_place[str(other.spec), "a"]


def test_circuits_of_two_shapes_are_compared_by_size_alone(circuits: tuple[ie.Circuit, ie.Circuit]):
    other = ie.Circuit.from_edges(small_model("gpt2"), [("embed", "a0.h1.k"), ("a0.h1", "logits")])
    compared = compare(circuits[0], other, names=("left", "right"))
    assert "no edges in common" in compared.sentences[0]
    assert [*compared.tables] == ["sizes"]
    assert {*compared.tables["sizes"]["circuit"]} == {"left", "right"}


def test_a_model_that_cannot_be_loaded_again_is_named_with_the_reason():
    by_hand = ie.Circuit.from_edges(small_model("gpt2"), [("embed", "a0.h1.k"), ("a0.h1", "logits")])
    compared = compare(by_hand, by_hand.complement())
    where = "memory/GPT2LMHeadModel/0/0"
    assert f"The circuits were not run in {where}: unknown family or directory 'memory'" in compared.sentences[1]
    assert "transfer" not in compared.tables
    assert len(compare(by_hand, by_hand, models=False).sentences) == 1


def test_circuits_of_two_abilities_are_run_on_both(circuits: tuple[ie.Circuit, ie.Circuit], model: HookedModel):
    other = circuits[0].with_origin(ability="indirect_object")
    rows = compare(circuits[0], other, n=16).tables["transfer"]
    assert rows["ability"].tolist() == ["induction", "induction", "indirect_object", "indirect_object"]
    assert compare(circuits[0], other, ability="induction", n=16).tables["transfer"]["ability"].nunique() == 1


def test_prompts_that_a_circuit_was_found_on_are_named(model: HookedModel):
    pairs = ie.load_ability("induction").sample(model, 16, seed=2000)
    found = ie.score(model, pairs, method="eap").top(8)
    assert found.origin["ability"] == "induction"
    assert "a was found on these same prompts." in compare(found, found.with_origin(prompts=""), n=16).sentences


def test_a_name_that_is_not_there_is_refused(circuits: tuple[ie.Circuit, ie.Circuit]):
    with pytest.raises(UnknownNameError, match="did you mean 'induction'"):
        compare(*circuits, ability="indution")
    with pytest.raises(UnknownNameError, match="did you mean 'miniature'"):
        compare(*circuits, family="minature")


def test_other_weights_of_the_same_name_are_refused(circuits: tuple[ie.Circuit, ie.Circuit]):
    spec = {**circuits[0].origin["model"], "revision": "0123456789abcdef"}
    changed = replace(circuits[0], origin={**circuits[0].origin, "model": spec})
    with pytest.raises(InputError, match=r"now has other weights \(.*\) than those .* \(0123456789abcdef\)"):
        model_of(changed)
    with pytest.raises(InputError, match="origin does not name the model"):
        model_of(replace(changed, origin={}))


def test_a_circuit_whose_model_has_a_graph_of_another_shape_is_refused(circuits: tuple[ie.Circuit, ie.Circuit]):
    circuit = ie.Circuit.from_edges(small_model("gpt2"), [("embed", "logits")])
    claimed = circuit.with_origin(model=circuits[0].origin["model"], ability="induction")
    with pytest.raises(
        InputError, match="circuit a was found on a model whose graph differs from that of miniature/25k"
    ):
        compare(claimed, claimed, n=4)


def test_without_a_gap_the_sentence_says_why_faithfulness_is_undefined():
    untrained = ie.load_family("miniature").load("3k", step=0)
    circuit = ie.Circuit.from_edges(untrained, [("embed", "logits")])
    circuit = circuit.with_origin(model=untrained.spec.to_dict(), ability="induction")
    compared = compare(circuit, circuit, n=8)
    row = compared.tables["transfer"].iloc[0]
    assert np.isnan(row["faithfulness"]) and row["note"].startswith("undefined: the clean-corrupt gap of ")
    assert f"In {untrained.spec} on induction, the faithfulness of a is {row['note']}." in compared.sentences
