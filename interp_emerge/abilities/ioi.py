"""Indirect object identification in English: two people, one of them gives something, and the other one receives it.

Fifteen wordings, each in both orders: in ABBA prompts the receiver is named first, in BABA prompts second. The
wordings are our own, chosen so that a name is what usually follows. The task, both orders and the corruption `abc` are
those of the source. After `abc` no name of the clean prompt is right: its foil is only the name that the clean answer
is compared with.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

SENTENCES = {
    "went": "When {a} and {b} went to the {place}, {s2} gave a {thing} to",
    "after lunch": "After {a} and {b} had lunch at the {place}, {s2} gave a {thing} to",
    "arrived": "Once {a} and {b} arrived at the {place}, {s2} handed a {thing} to",
    "working": "While {a} and {b} were working at the {place}, {s2} passed a {thing} to",
    "then": "Then {a} and {b} had a long talk at the {place}. Afterwards {s2} gave a {thing} to",
    "friends": "Friends {a} and {b} met at the {place} again, and {s2} gave a {thing} to",
    "yesterday": "Yesterday {a} and {b} met at the {place}, where {s2} offered a {thing} to",
    "decided": "In the end {a} and {b} decided to visit the {place}, where {s2} gave a {thing} to",
    "looking": "As {a} and {b} were looking around the {place}, {s2} showed a {thing} to",
    "argument": "After a long argument, {a} and {b} left the {place}, and {s2} handed a {thing} to",
    "on the way": "While {a} and {b} were on their way to the {place}, {s2} offered a {thing} to",
    "commute": "The trip to the {place} took {a} and {b} an hour, and {s2} showed a {thing} to",
    "morning": "When {a} and {b} walked to the {place} in the morning, {s2} gave a {thing} to",
    "before": "Before {a} and {b} went home from the {place}, {s2} gave a {thing} to",
    "party": "At the party near the {place}, {a} and {b} sat together, and {s2} passed a {thing} to",
}
ORDERS = {"ABBA": {"a": "{io}", "b": "{s1}"}, "BABA": {"a": "{s1}", "b": "{io}"}}
TEMPLATES = {
    f"{name}, {order}": wording.replace("{a}", names["a"]).replace("{b}", names["b"])
    for name, wording in SENTENCES.items()
    for order, names in ORDERS.items()
}
PARAPHRASES = {
    "from ABBA": "{io} was with {s1} in the {place}. Because {s2} no longer needed the {thing}, it went to",
    "from BABA": "{s1} was with {io} in the {place}. Because {s2} no longer needed the {thing}, it went to",
}


def fill(setting: Setting) -> Scene:
    receiver, subject, other, *unrelated = setting.several("people.names", 6)
    clean = {
        "io": receiver,
        "s1": subject,
        "s2": subject,
        "place": setting.one("things.places"),
        "thing": setting.one("things.gifts"),
        "other": other,
    }
    corrupt = {
        "swapped subject": {"s2": receiver},
        "abc": dict(zip(("io", "s1", "s2"), unrelated, strict=True)),
    }[setting.corruption]
    names = words("people.names") + words("people.other_names")
    variables = {
        "receiver": names.index(receiver),
        "subject": names.index(subject),
        "receiver first": int(setting.template.endswith("ABBA")),
    }
    return Scene(clean=clean, corrupt=corrupt, answer=f" {receiver}", foil=f" {subject}", variables=variables)


shelf.add(
    Wordings(
        name="ioi",
        summary="name who receives a thing: fifteen English wordings in two orders",
        source=Source("Wang et al.", 2022, "https://arxiv.org/abs/2211.00593"),
        chance=0.5,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "swapped subject": Corruption(
                about="the receiver acts instead, so the other name is right", changes=("s2",)
            ),
            "abc": Corruption(about="three other names, none of them repeated", changes=("io", "s1", "s2")),
        },
        positions={"io": "io", "s1": "s1", "s2": "s2"},
        variables=("receiver", "subject", "receiver first"),
        single={"people.names": 6},
        lists=("things.places", "things.gifts"),
        swaps={"people.names": "people.other_names"},
        distractors=("That week {other} had been ill. ", "Nobody had heard from {other} for a while. "),
        fill=fill,
    ).ability()
)
