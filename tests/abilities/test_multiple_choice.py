"""The letter of a colour that the prompt states."""

import pytest

from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("multiple_choice") == Shown(
        clean="The ball is silver. What color is the ball?\nA. black\nB. silver\nC. purple\nD. gray\nAnswer:",
        corrupt="The ball is purple. What color is the ball?\nA. black\nB. silver\nC. purple\nD. gray\nAnswer:",
        answer=" B",
        foil=" C",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("multiple_choice", corruption="swapped options")
    assert (
        other.corrupt == "The ball is silver. What color is the ball?\nA. black\nB. purple\nC. silver\nD. gray\nAnswer:"
    )
    assert other.foil == " C"


@pytest.mark.parametrize("corruption", ["other colour", "swapped options"])
def test_the_letter_is_that_of_the_stated_colour(corruption: str):
    for pair in shown("multiple_choice", corruption=corruption):
        for text, letter in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            stated, *options = text.splitlines()[:5]
            options_by_letter = dict(option.split(". ") for option in options)
            assert options_by_letter[letter.strip()] in stated
