"""Words in their natural order."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("successor") == Shown(
        clean="Thursday, Friday, Saturday,",
        corrupt="Wednesday, Thursday, Friday,",
        answer=" Sunday",
        foil=" Saturday",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("successor", corruption="other last word")
    assert other.corrupt == "Thursday, Friday, Friday,"
    assert other.foil == " Saturday"


def test_the_answer_follows_the_last_word_and_the_days_go_round():
    seen = set()
    for order, cyclic in (("days", True), ("months", True), ("numbers", False), ("letters", False)):
        known = words(f"sequences.{order}")
        for pair in shown("successor", 24, templates=[order]):
            for text, next_ in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
                place = known.index(text.split(", ")[-1].strip(","))
                assert known[(place + 1) % len(known)] == next_.strip()
                assert cyclic or place + 1 < len(known)
            seen.add(pair.answer.strip())
    assert {"Monday", "January"} <= seen
