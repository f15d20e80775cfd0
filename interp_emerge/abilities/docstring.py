"""Docstrings: a function's documentation lists its arguments in their order; the next one is asked for.

Four arguments are defined and two are documented, so the third comes next. `swapped` exchanges the third and the fourth
in the definition.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import CODE_OPENINGS, Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

DEFINITION = 'def {function}(self, {a}, {b}, {c}, {d}):\n    """{title}\n\n'
TEMPLATES = {
    "param": DEFINITION + "    :param {a2}: {remark}\n    :param {b2}: {remark2}\n    :param",
    "at param": DEFINITION + "    @param {a2}: {remark}\n    @param {b2}: {remark2}\n    @param",
    "argument": DEFINITION + "    The argument {a2} is {remark}\n    The argument {b2} is {remark2}\n    The argument",
}
PARAPHRASES = {
    "comments": "def {function}({a}, {b}, {c}, {d}):\n    # {title}\n    # input {a2}: {remark}\n"
    "    # input {b2}: {remark2}\n    # input",
}
TITLES = ("Work on the data.", "Do one step.", "A short function.", "See the manual.")


def fill(setting: Setting) -> Scene:
    a, b, c, d, new = setting.several("text.arguments", 5)
    remark, remark2 = setting.several(words("text.remarks"), 2)
    corrupt = {"swapped": {"c": d, "d": c}, "replaced": {"c": new}}[setting.corruption]
    clean = {"a": a, "b": b, "c": c, "d": d, "a2": a, "b2": b, "remark": remark, "remark2": remark2}
    clean |= {"function": setting.one("text.functions"), "title": setting.one(TITLES), "other": new}
    return Scene(
        clean=clean,
        corrupt=corrupt,
        answer=f" {c}",
        foil=f" {corrupt['c']}",
        variables={"argument": words("text.arguments").index(c)},
    )


shelf.add(
    Wordings(
        name="docstring",
        summary="name the next argument of a Python function in its docstring",
        source=Source(
            "Heimersheim and Janiak",
            2023,
            "https://www.alignmentforum.org/posts/u6KXXmKFbXfWzoAXn/"
            "a-circuit-for-python-docstrings-in-a-4-layer-attention-only",
        ),
        chance=0.25,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "swapped": Corruption(about="third and fourth argument exchanged in the definition", changes=("c", "d")),
            "replaced": Corruption(about="another third argument in the definition", changes=("c",)),
        },
        positions={"c": "c", "d": "d", "b2": "b2"},
        variables=("argument",),
        single={"text.arguments": 5},
        lists=("text.functions",),
        distractors=("# Before, the argument {other} was in use.\n",),
        openings=CODE_OPENINGS,
        language="code",
        fill=fill,
    ).ability()
)
