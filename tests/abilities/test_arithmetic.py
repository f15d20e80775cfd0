"""Sums and differences of two numbers."""

import re

import pytest

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("arithmetic") == Shown(
        clean="2+3=",
        corrupt="4+3=",
        answer="5",
        foil="7",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("arithmetic", corruption="both operands")
    assert other.corrupt == "7+1="
    assert other.foil == "8"


def value(text: str) -> int:
    """The result of the question."""
    names = {name: str(number) for number, name in enumerate(words("sequences.numbers"))}
    a, sign, b, _ = re.match(r"(\w+)\s*(\+|-|plus|minus)\s*(\w+)\s*(=|equals)", text).groups()  # pyright: ignore[reportOptionalMemberAccess]
    left, right = (int(names.get(one, one)) for one in (a, b))
    return left + right if sign in ("+", "plus") else left - right


def number(text: str) -> int:
    return int(text) if text.isdigit() else words("sequences.numbers").index(text.strip())


@pytest.mark.parametrize("tokenizer", ["single digits", "gpt2"])
def test_answer_and_foil_are_the_results(tokenizer: str):
    for pair in shown("arithmetic", 24, tokenizer=tokenizer):
        assert (value(pair.clean), value(pair.corrupt)) == (number(pair.answer), number(pair.foil))


def test_larger_numbers_are_used_where_they_are_one_token():
    largest = [max(int(pair.answer) for pair in shown("arithmetic", 24, tokenizer=name, templates=["sum"]))
               for name in ("single digits", "gpt2")]  # fmt: skip
    assert largest[0] < 10 < largest[1]
