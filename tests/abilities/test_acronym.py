"""The third letter of an acronym."""

from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("acronym") == Shown(
        clean="The United Health Watch (UH",
        corrupt="The United Health Group (UH",
        answer="W",
        foil="G",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("acronym", corruption="other words")
    assert other.corrupt == "The Regional Network Group (UH"
    assert other.foil == "G"


def test_the_letters_are_the_initials_of_the_words():
    for pair in shown("acronym", templates=["bracket", "dots"]):
        name, letters = pair.clean.split(" (")
        initials = [word[0] for word in name.split()[1:]]
        assert [one for one in letters if one.isalpha()] == initials[:2]
        assert initials[2] == pair.answer
        assert pair.corrupt.split(" (")[0].split()[-1][0] == pair.foil
