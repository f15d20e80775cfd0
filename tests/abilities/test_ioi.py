"""Indirect objects in English."""

import re
from collections import Counter

import pytest

import interp_emerge as ie
from interp_emerge.abilities._words import words
from interp_emerge.abilities.ioi import SENTENCES, TEMPLATES
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("ioi") == Shown(
        clean="When Jessica and George went to the bar, George gave a ball to",
        corrupt="When Jessica and George went to the bar, Jessica gave a ball to",
        answer=" Jessica",
        foil=" George",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("ioi", corruption="abc")
    assert other.corrupt == "When Daniel and Emma went to the bar, Amanda gave a ball to"
    assert other.foil == " George"


def names_of(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Z][a-z]+", text) if word in words("people.names")]


def test_the_answer_is_the_name_that_occurs_once_and_the_foil_the_one_that_occurs_twice():
    for pair in shown("ioi", 30):
        count = Counter(names_of(pair.clean))
        assert {name: count[name] for name in count} == {pair.answer.strip(): 1, pair.foil.strip(): 2}
        swapped = Counter(names_of(pair.corrupt))
        assert swapped[pair.answer.strip()] == 2 and swapped[pair.foil.strip()] == 1


def test_three_other_names_replace_those_of_the_prompt():
    for pair in shown("ioi", 30, corruption="abc"):
        assert len({*names_of(pair.corrupt)}) == 3
        assert not {*names_of(pair.corrupt)} & {*names_of(pair.clean)}


def test_a_tokenizer_without_its_words_is_told_the_language_and_not_to_leave_out_a_part():
    model = ie.load_family("miniature").load("7k")
    with pytest.raises(
        ie.InterpEmergeError, match=r"cannot express 'ioi' .* which is written in English: of "
    ) as caught:
        ie.load_ability("ioi").sample(model, 2)
    assert "has no token for a part of" in str(caught.value) and "leave that part out" not in str(caught.value)


def test_it_is_shown_in_a_line():
    assert repr(ie.load_ability("ioi")) == (
        "Ability(ioi, chance 0.5, 30 templates, corruptions 'swapped subject', 'abc')"
    )


def test_the_order_of_the_names_is_that_of_the_template():
    for order in ("ABBA", "BABA"):
        for pair in shown("ioi", 15, templates=[name for name in TEMPLATES if name.endswith(order)]):
            assert (names_of(pair.clean)[0] == pair.answer.strip()) == (order == "ABBA")


def test_there_are_fifteen_wordings_in_two_orders():
    assert len(SENTENCES) == 15 and len(TEMPLATES) == 30


def test_swapped_names_are_from_the_list_of_rarer_ones():
    for pair in shown("ioi", 8, variation="name swap"):
        assert pair.answer.strip() in words("people.other_names")
