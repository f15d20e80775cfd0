"""Hypernymy: name the kind of thing that a thing is. After `vague thing` the foil is only a kind to compare with."""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

KINDS = words("grammar.kinds")
TEMPLATES = {
    "and other": "They had {thing} and other",
    "or any other": "There were no {thing} or any other",
    "kind": "Everyone knows that the {thing} is a kind of",
    "type": "In the dictionary, the {thing} is described as a type of",
}
PARAPHRASES = {
    "such": "We talked about {thing} and similar",
    "sort": "In this picture, the {thing} stands for a sort of",
}
PLURAL = ("and other", "or any other", "such")
"""Wordings that name things in the plural."""
VAGUE = (("thing", "things"), ("item", "items"), ("object", "objects"), ("example", "examples"))


def fill(setting: Setting) -> Scene:
    kind, kinds, members = setting.one(KINDS)
    other, others, strange = setting.one(KINDS, but=[(kind, kinds, members)])
    thing, odd = setting.one(members), setting.one(strange)
    number = int(setting.template in PLURAL)
    corrupt = {"other thing": odd, "vague thing": setting.one(VAGUE)}[setting.corruption]
    return Scene(
        clean={"thing": thing[number], "other": odd[1]},
        corrupt={"thing": corrupt[number]},
        answer=f" {(kind, kinds)[number]}",
        foil=f" {(other, others)[number]}",
        variables={"kind": KINDS.index((kind, kinds, members))},
    )


shelf.add(
    Wordings(
        name="hypernymy",
        summary="name the kind of thing that a thing is",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        chance=1 / len(KINDS),
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other thing": Corruption(about="a thing of another kind", changes=("thing",)),
            "vague thing": Corruption(about="a word such as `object` instead of the thing", changes=("thing",)),
        },
        positions={"thing": "thing"},
        variables=("kind",),
        distractors=("On the other side there were {other}. ",),
        needs="kinds such as `bird` as single tokens, and things of equal length",
        fill=fill,
    ).ability()
)
