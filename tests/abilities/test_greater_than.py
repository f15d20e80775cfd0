"""Numbers that have to be larger than the one before."""

import re

import pytest

from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("greater_than") == Shown(
        clean="The campaign lasted from the year 1267 to the year 12",
        corrupt="The campaign lasted from the year 1201 to the year 12",
        answer="7|8|9",
        foil="0|1|2|3|4|5",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("greater_than", corruption="lower start")
    assert other.corrupt == "The campaign lasted from the year 1244 to the year 12"
    assert other.foil == "0|1|2|3|4|5"


@pytest.mark.parametrize("tokenizer", ["single digits", "gpt2", "llama3"])
@pytest.mark.parametrize("corruption", ["lowest start", "lower start"])
def test_every_answer_makes_the_number_larger_and_no_foil_does(tokenizer: str, corruption: str):
    for pair in shown("greater_than", 24, tokenizer=tokenizer, corruption=corruption):
        *_, start, begun = re.findall(r"[0-9]+", pair.clean)
        for next_ in pair.answer.split("|"):
            assert int((begun + next_).ljust(4, "0")) > int(start)
        for next_ in pair.foil.split("|"):
            assert int((begun + next_).ljust(4, "9")) <= int(start)
        *_, lower, again = re.findall(r"[0-9]+", pair.corrupt)
        assert int(lower) < int(start) and again == begun


def test_the_tokenizer_decides_how_much_of_the_second_number_is_given():
    assert {len(pair.answer.split("|")[0]) for pair in shown("greater_than", 6)} == {1}
    assert {len(pair.answer.split("|")[0]) for pair in shown("greater_than", 6, tokenizer="gpt2")} == {2}
    ends = {re.findall(r"[0-9]+", pair.clean)[-1] for pair in shown("greater_than", 6, tokenizer="llama3")}
    assert {len(end) for end in ends} == {3}
