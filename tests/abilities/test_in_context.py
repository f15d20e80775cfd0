"""Tasks shown by examples."""

from interp_emerge.abilities._words import words
from interp_emerge.abilities.in_context import LISTS
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("in_context") == Shown(
        clean="good: bad\nbegin: end\nwet: dry\nfull: empty\nlight:",
        corrupt="good: bad\nbegin: end\nwet: dry\nfull: empty\nfirst:",
        answer=" dark",
        foil=" last",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("in_context", corruption="shuffled examples")
    assert other.corrupt == "good: end\nbegin: dry\nwet: empty\nfull: bad\nlight:"
    assert other.foil == " last"


def test_the_examples_and_the_answer_are_pairs_of_one_list():
    for task, name in LISTS.items():
        known = dict(words(name))
        for pair in shown("in_context", 4, templates=[task]):
            *examples, asked = pair.clean.splitlines()
            assert [known[x] for x, _ in (line.split(": ") for line in examples)] == [
                y.split(": ")[1] for y in examples
            ]
            assert known[asked.strip(":")] == pair.answer.strip()
            assert asked.strip(":") not in pair.clean.splitlines()[:-1]


def test_shuffled_examples_show_no_pair():
    for pair in shown("in_context", corruption="shuffled examples", templates=["plural"]):
        for line in pair.corrupt.splitlines()[:-1]:
            one, other = line.split(": ")
            assert dict(words("grammar.plurals"))[one] != other
