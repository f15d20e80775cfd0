"""Things with colours."""

import pytest

from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("coloured_objects") == Shown(
        clean="On the table there is a gray pencil, a pink bottle, and a black cup. The color of the pencil is",
        corrupt="On the table there is a gray pencil, a pink bottle, and a black cup. The color of the bottle is",
        answer=" gray",
        foil=" pink",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("coloured_objects", corruption="swapped colours")
    assert (
        other.corrupt
        == "On the table there is a pink pencil, a gray bottle, and a black cup. The color of the pencil is"
    )
    assert other.foil == " pink"


@pytest.mark.parametrize("corruption", ["other object", "swapped colours"])
def test_the_colour_is_that_of_the_thing_asked_for(corruption: str):
    for pair in shown("coloured_objects", corruption=corruption, templates=["table"]):
        for text, colour in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            told, asked = text.split(". The color of the ")
            assert f"a{colour} {asked.removesuffix(' is')}" in told
