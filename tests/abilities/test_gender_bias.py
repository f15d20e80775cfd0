"""Pronouns that stereotypes tie to professions."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("gender_bias") == Shown(
        clean="The soldier said that",
        corrupt="The babysitter said that",
        answer=" he",
        foil=" she",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("gender_bias", corruption="person")
    assert other.corrupt == "The woman said that"
    assert other.foil == " she"


def test_the_answer_is_the_pronoun_of_the_stereotype():
    for pair in shown("gender_bias"):
        female = any(job in words("people.jobs_female") for job in pair.clean.split())
        assert pair.answer == (" she" if female else " he")
