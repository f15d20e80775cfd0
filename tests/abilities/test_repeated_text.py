"""Sentences that repeat."""

from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("repeated_text") == Shown(
        clean="The wooden bridge carried the soldier near the harbor. The wooden bridge carried the",
        corrupt="The wooden bridge carried the harbor near the soldier. The wooden bridge carried the",
        answer=" soldier",
        foil=" harbor",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("repeated_text", corruption="replaced")
    assert other.corrupt == "The wooden bridge carried the cannon near the harbor. The wooden bridge carried the"
    assert other.foil == " cannon"


def test_the_second_copy_is_the_beginning_of_the_first_and_goes_on_with_the_answer():
    for pair in shown("repeated_text"):
        for text, next_ in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            first, again = text.split(". ")
            assert first.startswith(again + next_)
