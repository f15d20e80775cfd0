"""Brackets in code."""

import pytest

from interp_emerge.abilities.bracket_closing import PAIRS
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("bracket_closing") == Shown(
        clean="child = [3, (6, 2",
        corrupt="child = (3, [6, 2",
        answer=")",
        foil="]",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("bracket_closing", corruption="same")
    assert other.corrupt == "child = [3, [6, 2"
    assert other.foil == "]"


def open_brackets(text: str) -> list[str]:
    """The brackets that are still open, the inner one last."""
    stack = []
    for sign in text:
        if sign in PAIRS:
            stack.append(sign)
        elif sign in PAIRS.values():
            assert PAIRS[stack.pop()] == sign
    return stack


@pytest.mark.parametrize("tokenizer", ["single digits", "gpt2"])
def test_every_answer_begins_by_closing_the_inner_bracket(tokenizer: str):
    for corruption in ("swapped", "same"):
        for pair in shown("bracket_closing", tokenizer=tokenizer, corruption=corruption):
            inner, after = open_brackets(pair.clean)[-1], open_brackets(pair.corrupt)[-1]
            assert {one[0] for one in pair.answer.split("|")} == {PAIRS[inner]}
            assert {one[0] for one in pair.foil.split("|")} == {PAIRS[after]} != {PAIRS[inner]}
