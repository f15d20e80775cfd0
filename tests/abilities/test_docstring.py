"""Arguments of functions in their documentation."""

import re

from tests.abilities.golden import Shown, golden, shown

REST = """):
    \"\"\"Do one step.

    :param title: one of the known ones
    :param host: the first part to use
    :param"""


def test_the_golden_prompt():
    assert golden("docstring") == Shown(
        clean=f"def build(self, title, host, shape, node{REST}",
        corrupt=f"def build(self, title, host, node, shape{REST}",
        answer=" shape",
        foil=" node",
    )


def test_the_golden_prompt_of_the_other_corruption():
    other = golden("docstring", corruption="replaced")
    assert other.corrupt == f"def build(self, title, host, model, node{REST}"
    assert other.foil == " model"


def test_two_arguments_are_documented_and_the_third_comes_next():
    for pair in shown("docstring", 9):
        for text, next_ in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            defined = re.findall(r"[a-z]+(?=[,)])", text.splitlines()[0].removeprefix("def "))[-4:]
            assert defined[2] == next_.strip()
            assert [name in text.split(chr(10), 2)[2] for name in defined] == [True, True, False, False]
