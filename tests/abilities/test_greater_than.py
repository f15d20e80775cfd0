"""Numbers that have to be larger than the one before."""

import re

import pytest

import interp_emerge as ie
from tests.abilities.golden import Shown, golden, shown
from tests.abilities.tokenizers import speaker_of


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


@pytest.mark.parametrize("tokenizer", ["single digits", "gpt2", "llama3"])
@pytest.mark.parametrize("corruption", ["lowest start", "lower start"])
@pytest.mark.parametrize("variation", ["", "paraphrase"])
def test_the_position_of_the_number_is_a_token_that_the_corruption_changes(tokenizer, corruption, variation):
    model = speaker_of(tokenizer)
    pairs = ie.load_ability("greater_than").sample(model, 24, corruption=corruption, variation=variation)
    at = pairs.positions["number"].tolist()
    for place, clean, corrupt in zip(at, pairs.prompts("clean"), pairs.prompts("corrupt"), strict=True):
        assert clean[place] != corrupt[place]


def test_no_number_and_no_ending_is_in_both_halves():
    drawn = []
    for split in ("discovery", "evaluation"):
        pairs = [pair for seed in range(4) for pair in shown("greater_than", 24, seed=seed, split=split,
                                                             corruption="lower start")]  # fmt: skip
        drawn.append({number for one in pairs for text in (one.clean, one.corrupt)
                      for number in re.findall(r"[0-9]{4}", text)})  # fmt: skip
    assert not drawn[0] & drawn[1]
    endings = [{number[2:] for number in numbers} for numbers in drawn]
    assert min(map(len, endings)) > 20 and not endings[0] & endings[1]


def test_the_tokenizer_decides_how_much_of_the_second_number_is_given():
    assert {len(pair.answer.split("|")[0]) for pair in shown("greater_than", 6)} == {1}
    assert {len(pair.answer.split("|")[0]) for pair in shown("greater_than", 6, tokenizer="gpt2")} == {2}
    ends = {re.findall(r"[0-9]+", pair.clean)[-1] for pair in shown("greater_than", 6, tokenizer="llama3")}
    assert {len(end) for end in ends} == {3}
