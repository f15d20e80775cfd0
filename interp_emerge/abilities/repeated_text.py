"""Induction on text: a sentence begins to repeat, and the model continues it.

As in `induction`, only the first copy decides the answer; here it is an English sentence with nouns drawn at random.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

SENTENCES = {
    "near": ("The {adjective} {first} {verb} the {second}", " near the {third}."),
    "before": ("Before the {first} {verb} the {adjective} {second}", ", it was behind the {third}."),
    "nobody": ("Nobody knew why the {adjective} {first} {verb} the {second}", " and not the {third}."),
    "letter": ("He wrote that the {first} with the {adjective} {second}", " {verb} the {third}."),
}
PARAPHRASED = {
    "between": ("Between the {first} and the {adjective} {second}", " they {verb} the {third}."),
    "list": ("They {verb} the {first}, the {adjective} {second}", ", and also the {third}."),
}


def repeated(sentences: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Each sentence, and again until the second noun is due. Slots of the second copy have names with a 2."""
    again = {"{first}": "{first2}", " {second}": ""}
    wordings = {}
    for name, (begin, end) in sentences.items():
        second = begin
        for slot, instead in again.items():
            second = second.replace(slot, instead)
        wordings[name] = f"{begin}{end} {second}"
    return wordings


def fill(setting: Setting) -> Scene:
    first, second, third, new, other = setting.several("text.nouns", 5)
    corrupt = {"swapped": {"second": third, "third": second}, "replaced": {"second": new}}[setting.corruption]
    clean = {"first": first, "second": second, "third": third, "first2": first, "other": other}
    clean |= {"adjective": setting.one("text.adjectives"), "verb": setting.one("text.verbs")}
    return Scene(
        clean=clean,
        corrupt=corrupt,
        answer=f" {second}",
        foil=f" {corrupt['second']}",
        variables={"noun": words("text.nouns").index(second)},
    )


shelf.add(
    Wordings(
        name="repeated_text",
        summary="continue an English sentence that repeats",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        chance=1 / 3,
        templates=repeated(SENTENCES),
        paraphrases=repeated(PARAPHRASED),
        corruptions={
            "swapped": Corruption(
                about="second and third noun exchanged in the first copy", changes=("second", "third")
            ),
            "replaced": Corruption(about="another second noun in the first copy", changes=("second",)),
        },
        positions={"first copy": "second", "repeated noun": "first2"},
        variables=("noun",),
        single={"text.nouns": 5},
        lists=("text.adjectives", "text.verbs"),
        distractors=("The {other} was for sale. ",),
        fill=fill,
    ).ability()
)
