"""Acronyms: three words with capital letters, and the first two letters in brackets; the third one comes next."""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

TEMPLATES = {
    "bracket": "The {a} {b} {c} ({letters}",
    "short": "They called the {a} {b} {c} the {letters}",
    "dots": "The {a} {b} {c} ({first}.{second}.",
}
PARAPHRASES = {"known as": "The {a} {b} {c}, better known as {letters}"}


def fill(setting: Setting) -> Scene:
    a, b = setting.one(words("text.initials")), setting.one(words("text.middles"))
    c, other = setting.several(words("text.bodies"), 2)
    a2, b2 = setting.one(words("text.initials"), but=[a]), setting.one(words("text.middles"), but=[b])
    corrupt = {"other third word": {"c": other}, "other words": {"a": a2, "b": b2, "c": other}}[setting.corruption]
    return Scene(
        clean={"a": a, "b": b, "c": c, "letters": a[0] + b[0], "first": a[0], "second": b[0]},
        corrupt=corrupt,
        answer=c[0],
        foil=other[0],
        variables={"letter": ord(c[0]) - ord("A")},
    )


shelf.add(
    Wordings(
        name="acronym",
        summary="write the third letter of an acronym",
        source=Source("García-Carrasco et al.", 2024, "https://arxiv.org/abs/2405.04156"),
        chance=1 / len({word[0] for word in words("text.bodies")}),
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other third word": Corruption(about="another third word with another initial", changes=("c",)),
            "other words": Corruption(about="all three words replaced, the letters kept", changes=("a", "b", "c")),
        },
        positions={"third word": "c"},
        variables=("letter",),
        distractors=("The old name was ABC. ",),
        needs="capital letters as tokens of their own behind two others",
        fill=fill,
    ).ability()
)
