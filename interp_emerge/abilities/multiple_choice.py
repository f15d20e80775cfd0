"""Multiple choice with copied colours: the prompt states the colour of a thing, and asks for its letter."""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.core.source import Source

LETTERS = ("A", "B", "C", "D")
OPTIONS = "\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nAnswer:"
TEMPLATES = {
    "question": "The {object} is {colour}. What color is the {object2}?" + OPTIONS,
    "choose": "There is a {colour} thing here: the {object}. Choose the color of the {object2}." + OPTIONS,
}
PARAPHRASES = {"which": "Somebody painted the {object} {colour}. Which color does the {object2} have now?" + OPTIONS}


def fill(setting: Setting) -> Scene:
    colours = setting.several("things.colours", 4)
    right, wrong = (int(place) for place in setting.rng.choice(4, size=2, replace=False))
    thing, other = setting.several("things.objects", 2)
    options = dict(zip(LETTERS, colours, strict=True))
    corrupt = {
        "other colour": {"colour": colours[wrong]},
        "swapped options": {LETTERS[right]: colours[wrong], LETTERS[wrong]: colours[right]},
    }[setting.corruption]
    return Scene(
        clean={"object": thing, "object2": thing, "colour": colours[right], "other": other, **options},
        corrupt=corrupt,
        answer=f" {LETTERS[right]}",
        foil=f" {LETTERS[wrong]}",
        variables={"place": right},
    )


shelf.add(
    Wordings(
        name="multiple_choice",
        summary="give the letter of the option that the prompt states: copied colours",
        source=Source("Wiegreffe et al.", 2024, "https://arxiv.org/abs/2407.15018"),
        chance=0.25,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other colour": Corruption(about="the thing has the colour of another option", changes=("colour",)),
            "swapped options": Corruption(about="the right and another option exchange their letters", changes=LETTERS),
        },
        positions={"colour": "colour", **{f"option {letter}": letter for letter in LETTERS}},
        variables=("place",),
        single={"things.colours": 4},
        lists=("things.objects",),
        distractors=("The {other} is lost. ",),
        needs="the letters A to D as single tokens",
        fill=fill,
    ).ability()
)
