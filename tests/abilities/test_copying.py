"""Lists of words that are copied."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("copying") == Shown(
        clean="Text: group hand time case\nCopy: group hand time",
        corrupt="Text: case hand time group\nCopy: group hand time",
        answer=" case",
        foil=" group",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("copying", corruption="replaced")
    assert other.corrupt == "Text: group hand time company\nCopy: group hand time"
    assert other.foil == " company"


def test_the_words_are_of_the_band_that_the_template_names():
    for band in ("frequent", "middling", "rare"):
        for pair in shown("copying", 4, templates=[f"{band} words"]):
            given = pair.clean.split()[1:5]
            assert {*given} <= {*words(f"text.{band}")}
            assert given[3] == pair.answer.strip()
