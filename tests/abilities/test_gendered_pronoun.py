"""Pronouns that fit a first name."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("gendered_pronoun") == Shown(
        clean="So Simon is a really great friend, isn't",
        corrupt="So Helen is a really great friend, isn't",
        answer=" he",
        foil=" she",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("gendered_pronoun", corruption="neutral")
    assert other.corrupt == "So somebody is a really great friend, isn't"
    assert other.foil == " she"


def test_the_pronoun_is_that_of_the_list_that_holds_the_name():
    for pair in shown("gendered_pronoun"):
        female = any(name in words("people.female") for name in pair.clean.replace(",", " ").split())
        assert (pair.answer, pair.foil) == ((" she", " he") if female else (" he", " she"))
