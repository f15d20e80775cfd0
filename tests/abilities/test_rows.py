"""Pairs from rows and from text: the same pairs as from arrays, and errors that name the row's mistake."""

import re
from typing import Any

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.model import HookedModel


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.load_family("miniature").load("7k")


def row(**changed: Any) -> ie.Pair:
    given: dict[str, Any] = {
        "clean": " Mary met John",
        "corrupt": " Anna met John",
        "answer": " and",
        "foil": ".",
    }
    return ie.Pair(**given | changed)


def test_text_is_the_tokenizers_with_the_models_first_token(model: HookedModel):
    pairs = ie.PromptPairs.from_rows(
        [row(template="meeting", positions={"name": -3}, variables={"who": 4})], model=model
    )
    assert model.words(pairs.clean[0].tolist()) == ["<bos>", "Mary", "met", "John"]
    assert model.words(pairs.corrupt[0].tolist()) == ["<bos>", "Anna", "met", "John"]
    assert model.words([int(pairs.answer[0]), int(pairs.foil[0])]) == ["and", "."]
    assert pairs.templates == ("meeting",)
    assert (pairs.positions["name"].tolist(), pairs.variables["who"].tolist()) == ([1], [4])


def test_text_ids_and_lists_make_the_same_pairs(model: HookedModel):
    names, texts = [" Mary", " Anna"], ["{} met", "When{} gave the book to"]
    clean = [text.format(names[0]) for text in texts]
    corrupt = [text.format(names[1]) for text in texts]
    from_text = ie.PromptPairs.from_text(model, clean=clean, corrupt=corrupt, answer=[" John"] * 2, foil=[" Paul"] * 2)
    as_ids = [model.bos + model.encode(text) for text in (*clean, *corrupt)]
    john, paul = model.encode(" John")[0], model.encode(" Paul")[0]
    from_ids = ie.PromptPairs.from_rows(
        [ie.Pair(clean=as_ids[at], corrupt=as_ids[2 + at], answer=john, foil=paul) for at in range(2)]
    )
    from_lists = ie.PromptPairs(clean=as_ids[:2], corrupt=as_ids[2:], answer=[john] * 2, foil=[paul] * 2)
    assert from_text.fingerprint == from_ids.fingerprint == from_lists.fingerprint
    assert from_text.lengths.tolist() == [3, 7]


def test_several_answers_are_a_list_in_the_row(model: HookedModel):
    pairs = ie.PromptPairs.from_rows([row(), row(answer=[" and", " gave"])], model=model)
    assert pairs.answers.tolist() == [[*model.encode(" and"), -1], [*model.encode(" and"), *model.encode(" gave")]]


def test_ids_may_come_from_arrays():
    plain = ie.Pair(clean=[5, 6], corrupt=[5, 7], answer=8, foil=[9, 3])
    clean, corrupt = np.array([5, 6]), torch.tensor([5, 7])
    arrays = ie.Pair(clean=clean, corrupt=corrupt, answer=np.int64(8), foil=torch.tensor([9, 3]))
    assert ie.PromptPairs.from_rows([arrays]).fingerprint == ie.PromptPairs.from_rows([plain]).fingerprint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows; give at least one pair"),
        ([row(), row(template="b", variables={"who": 1})], "the rows name different positions or variables"),
        ([row(corrupt=" Anna met")], "the prompts of pair 0 have 4 and 3 tokens; give both the same length"),
        ([row(clean=[1, 2, 3, 4])], "the answer ' and' is text; give its prompt as text too"),
        ([row(foil=" and")], "pair 0 has the same token as answer and foil"),
        ([row(), row(answer="")], "an answer after ' Mary met John' is empty text; give at least one token"),
        ([row(answer=[])], "answer of pair 0 is empty; give at least one token"),
        ([row(), row(answer=[" and", " and"])], "pair 1 has the answer"),
        ([row(clean=[])], "a prompt is empty; give at least one token"),
        ([row(positions={"name": 4})], "position 'name' of pair 0 is 4, beyond the prompt's 4 tokens; give 0 to 3"),
    ],
)
def test_what_makes_no_pairs_is_named(rows: list[ie.Pair], message: str, model: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs.from_rows(rows, model=model)


IDS: dict[str, Any] = {"clean": [5, 6], "corrupt": [5, 7], "foil": 9}


@pytest.mark.parametrize(
    "answer",
    [[8.5], [8.0], np.array([8.5]), torch.tensor([8.7]), True, [True], torch.tensor([True]), None, [[8]], b"x"],
)
def test_an_answer_that_is_not_a_token_is_refused_and_not_rounded(answer: Any):
    given = ie.Pair(**IDS, answer=8)
    object.__setattr__(given, "answer", answer)
    with pytest.raises(
        ie.InterpEmergeError, match=r"answer of pair 0 cannot be .*; give text, a token id, or a list of"
    ):
        ie.PromptPairs.from_rows([given])


@pytest.mark.parametrize(("answer", "foil"), [([-1], 9), (8, [-1])])
def test_a_pair_without_an_answer_or_foil_is_refused(answer: Any, foil: Any):
    with pytest.raises(ie.InterpEmergeError, match=r"pair 0 has no (answer|foil); give each pair at least one"):
        ie.PromptPairs.from_rows([ie.Pair(**(IDS | {"answer": answer, "foil": foil}))])


def test_the_order_of_names_does_not_matter():
    rows = [
        ie.Pair(**IDS, answer=8, positions={"a": 0, "b": 1}),
        ie.Pair(**IDS, answer=8, positions={"b": 0, "a": 1}),
    ]
    pairs = ie.PromptPairs.from_rows(rows)
    assert (pairs.positions["a"].tolist(), pairs.positions["b"].tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"clean": [5, 6]}], "rows cannot be a list with a dict in it; give a list, each item a Pair"),
        ((row for row in [5]), r"row 0 cannot be 5; give ie\.Pair"),
        (ie.Pair(**IDS, answer=8), "rows cannot be"),
        (None, "rows cannot be None"),
    ],
)
def test_what_is_not_a_row_is_refused(rows: Any, message: str):
    with pytest.raises(ie.InterpEmergeError, match=message):
        ie.PromptPairs.from_rows(rows)


def test_the_model_has_to_be_a_model():
    rows = [ie.Pair(**IDS, answer=8)]
    model: Any = "7k"
    with pytest.raises(ie.InterpEmergeError, match="model cannot be '7k'; give a model"):
        ie.PromptPairs.from_rows(rows, model=model)


def test_text_needs_a_model():
    with pytest.raises(
        ie.InterpEmergeError, match="the prompt ' Mary met John' is text; give the model whose tokenizer"
    ):
        ie.PromptPairs.from_rows([row()])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean": " Mary met"}, "clean cannot be the single text ' Mary met'; give a list, one text for each pair"),
        ({"foil": [" Paul", " Anna"]}, "foil has 2 entries for 1 clean prompts; give one for each"),
    ],
)
def test_lists_of_text_have_one_entry_a_pair(changed: dict[str, Any], message: str, model: HookedModel):
    given: dict[str, Any] = {"clean": [" Mary met"], "corrupt": [" Anna met"], "answer": [" John"], "foil": [" Paul"]}
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.PromptPairs.from_text(model, **given | changed)
