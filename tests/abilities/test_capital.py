"""Capitals of countries."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("capital") == Shown(
        clean="The capital of Yemen is",
        corrupt="The capital of Austria is",
        answer=" Sanaa",
        foil=" Vienna",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("capital", corruption="continent")
    assert other.corrupt == "The capital of America is"
    assert other.foil == " Vienna"


def test_answer_and_foil_are_the_capitals_of_the_two_countries():
    capitals = dict(words("countries.capitals"))
    for pair in shown("capital"):
        clean, corrupt = ([name for name in capitals if name in text] for text in (pair.clean, pair.corrupt))
        assert [capitals[name] for name in (*clean, *corrupt)] == [pair.answer.strip(), pair.foil.strip()]
