"""Verbs that agree with their subject."""

from interp_emerge.abilities._words import words
from tests.abilities.golden import Shown, golden, shown


def test_the_golden_prompt():
    assert golden("subject_verb_agreement") == Shown(
        clean="The book",
        corrupt="The books",
        answer=" is| was| has| does",
        foil=" are| were| have| do",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("subject_verb_agreement", corruption="other noun")
    assert other.corrupt == "The managers"
    assert other.foil == " are| were| have| do"


def test_the_verb_agrees_with_the_subject_and_not_with_the_nearer_noun():
    plurals = {plural for _, plural in words("grammar.plurals")}
    for pair in shown("subject_verb_agreement", 24, templates=["relative clause", "prepositional phrase"]):
        assert (pair.clean.split()[1] in plurals) == pair.answer.startswith(" are")
    nearer = {(p.clean.split()[1] in plurals, p.clean.split()[-1] in plurals)
              for p in shown("subject_verb_agreement", 24, templates=["prepositional phrase"])}  # fmt: skip
    assert len(nearer) == 4
