"""Arithmetic with two operands, in digits and in words.

With digits, a tokenizer that splits numbers can give results below ten only; operands are drawn so that the result is
one token.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

NUMBERS = words("sequences.numbers")
TEMPLATES = {
    "sum": "{a}+{b}=",
    "difference": "{a}-{b}=",
    "sum in words": "{a} plus {b} equals",
    "difference in words": "{a} minus {b} equals",
}
PARAPHRASES = {
    "sum, asked": "Question: what is {a} plus {b}? Answer:",
    "difference, asked": "Question: what is {a} minus {b}? Answer:",
}
LARGEST_OF_DIGITS, LARGEST_OF_WORDS = 99, 20


def fill(setting: Setting) -> Scene:
    adds, digits = "sum" in setting.template, setting.template in ("sum", "difference")
    largest = LARGEST_OF_WORDS
    if digits:
        largest = LARGEST_OF_DIGITS if setting.adds_one_token("12+25=", "37") else 9
    a, b = (int(one) for one in setting.rng.integers(1, largest, size=2))
    other, second = (int(one) for one in setting.rng.integers(1, largest, size=2))
    changed = {"a": (other, b), "b": (a, other)}["a" if setting.coin() else "b"]
    changed = {"one operand": changed, "both operands": (other, second)}[setting.corruption]
    results = [x + y if adds else x - y for x, y in ((a, b), changed)]
    if not all(0 <= result <= largest for result in results) or not setting.in_split((a, b), changed):
        raise setting.refuse(f"the result is not between 0 and {largest}")
    text = str if digits else NUMBERS.__getitem__
    (x, y), space = changed, "" if digits else " "
    return Scene(
        clean={"a": text(a), "b": text(b)},
        corrupt={"a": text(x), "b": text(y)},
        answer=f"{space}{text(results[0])}",
        foil=f"{space}{text(results[1])}",
        variables={"a": a, "b": b, "result": results[0]},
    )


shelf.add(
    Wordings(
        name="arithmetic",
        summary="add or subtract two numbers",
        source=Source("Stolfo et al.", 2023, "https://arxiv.org/abs/2305.15054"),
        chance=1 / 10,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "one operand": Corruption(about="one of the two numbers is another", changes=("a", "b")),
            "both operands": Corruption(about="both numbers are others", changes=("a", "b")),
        },
        positions={"a": "a", "b": "b"},
        variables=("a", "b", "result"),
        needs="results as single tokens after `=`, or number words as single tokens",
        fill=fill,
    ).ability()
)
