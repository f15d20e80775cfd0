"""Kinds of things."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("hypernymy") == Shown(
        clean="They had axes and other",
        corrupt="They had oaks and other",
        answer=" tools",
        foil=" trees",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("hypernymy", corruption="vague thing")
    assert other.corrupt == "They had examples and other"
    assert other.foil == " trees"


def test_answer_and_foil_are_the_kinds_of_the_two_things():
    kind_of = {thing: kind for *kinds, members in words("grammar.kinds")
               for member in members for thing, kind in zip(member, kinds, strict=True)}  # fmt: skip
    for pair in shown("hypernymy"):
        for text, kind in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            assert kind.strip() in {kind_of.get(word.strip(",")) for word in text.split()}
