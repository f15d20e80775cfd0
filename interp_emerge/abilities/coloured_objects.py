"""Coloured objects: three things with their colours, and the colour of one of them is asked for."""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

TEMPLATES = {
    "table": "On the table there is a {c1} {o1}, a {c2} {o2}, and a {c3} {o3}. The color of the {asked} is",
    "bought": "She bought a {c1} {o1}, a {c2} {o2}, and a {c3} {o3}. The {asked} that she bought is",
    "ask": "I see a {c1} {o1}, a {c2} {o2}, and a {c3} {o3}.\nQ: What color is the {asked}?\nA: It is",
}
PARAPHRASES = {
    "each": "The {o1} is {c1}, the {o2} is {c2}, and the {o3} is {c3}. So the color of the {asked} is",
}


def fill(setting: Setting) -> Scene:
    colours, objects = setting.several("things.colours", 3), setting.several("things.objects", 4)
    right, wrong = (int(place) for place in setting.rng.choice(3, size=2, replace=False))
    clean = {f"c{place + 1}": colour for place, colour in enumerate(colours)}
    clean |= {f"o{place + 1}": thing for place, thing in enumerate(objects[:3])}
    corrupt = {
        "other object": {"asked": objects[wrong]},
        "swapped colours": {f"c{right + 1}": colours[wrong], f"c{wrong + 1}": colours[right]},
    }[setting.corruption]
    return Scene(
        clean=clean | {"asked": objects[right], "other": objects[3]},
        corrupt=corrupt,
        answer=f" {colours[right]}",
        foil=f" {colours[wrong]}",
        variables={"place": right, "colour": words("things.colours").index(colours[right])},
    )


shelf.add(
    Wordings(
        name="coloured_objects",
        summary="name the colour of one of three things",
        source=Source("Merullo et al.", 2023, "https://arxiv.org/abs/2310.08744"),
        chance=1 / 3,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other object": Corruption(about="another of the three things is asked for", changes=("asked",)),
            "swapped colours": Corruption(about="two things exchange their colours", changes=("c1", "c2", "c3")),
        },
        positions={"asked object": "asked", "first colour": "c1", "second colour": "c2", "third colour": "c3"},
        variables=("place", "colour"),
        single={"things.colours": 3, "things.objects": 4},
        distractors=("The {other} is not here. ",),
        fill=fill,
    ).ability()
)
