"""Closing brackets in code: two kinds of bracket are open, and the inner one has to be closed first.

Right are all tokens that begin by closing the inner bracket, such as `]` and `])`. The foils begin by closing the kind
of bracket that is open last in the corrupted prompt.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import CODE_OPENINGS, Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

PAIRS = {"(": ")", "[": "]", "{": "}"}
TEMPLATES = {
    "numbers": "{name} = {outer}{x}, {inner}{y}, {z}",
    "names": "{name} = {outer}{p}, {inner}{q}, {r}",
    "deep": "{name} = {function}({outer}{p}, {inner}{q}, {r}",
}
PARAPHRASES = {"returned": "    return {outer}{p}, {inner}{q}, {r}"}


def fill(setting: Setting) -> Scene:
    outer, inner = setting.rng.permutation([*PAIRS])[:2].tolist()
    name, p, q, r = setting.several(words("text.arguments"), 4)
    x, y, z = (str(one) for one in setting.several(range(1, 10), 3))
    corrupt = {"swapped": {"outer": inner, "inner": outer}, "same": {"inner": outer}}[setting.corruption]
    clean = {"outer": outer, "inner": inner, "name": name, "p": p, "q": q, "r": r, "x": x, "y": y, "z": z}
    answers, foils = (
        [closed + more for more in ("", ",", ")", "]", "}", "),", "],", "\n", ")\n", "]\n")]
        for closed in (PAIRS[inner], PAIRS[outer])
    )
    return Scene(
        clean=clean | {"function": setting.one("text.functions")},
        corrupt=corrupt,
        answer=answers,
        foil=foils,
        variables={"bracket": [*PAIRS].index(inner)},
    )


shelf.add(
    Wordings(
        name="bracket_closing",
        summary="close the bracket that was opened last, in code",
        source=Source("Gao et al.", 2025, "https://arxiv.org/abs/2511.13653"),
        chance=1 / len(PAIRS),
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "swapped": Corruption(about="outer and inner bracket exchanged", changes=("outer", "inner")),
            "same": Corruption(about="the inner bracket is of the outer one's kind", changes=("inner",)),
        },
        positions={"outer": "outer", "inner": "inner"},
        variables=("bracket",),
        lists=("text.functions",),
        openings=CODE_OPENINGS,
        distractors=("ready = [(1, 2), {{3}}]\n",),
        needs="brackets as tokens of their own",
        language="code",
        fill=fill,
    ).ability()
)
