"""Successors: days, months, number words and letters in their order; the next one is asked for.

`other last word` leaves the model with two words of one place and the last of another: its successor is the foil.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

ORDERS: tuple[str, ...] = ("days", "months", "numbers", "letters")
CYCLIC = ("days", "months")
TEMPLATES: dict[str, str] = dict.fromkeys(ORDERS, "{a}, {b}, {c},")
PARAPHRASES = {f"{order}, after": "After {a} comes {b}, and after {c} comes" for order in ORDERS}
OFFSETS = (("a", 0), ("b", 1), ("c", 2))


def fill(setting: Setting) -> Scene:
    order = setting.template.split(",")[0]
    known = words(f"sequences.{order}")
    starts = range(len(known) if order in CYCLIC else len(known) - 3)
    start, other = setting.several(starts, 2)
    clean = {slot: known[(start + offset) % len(known)] for slot, offset in OFFSETS}
    moved = {slot: known[(other + offset) % len(known)] for slot, offset in OFFSETS}
    corrupt = {"other run": moved, "other last word": {"c": moved["c"]}}[setting.corruption]
    return Scene(
        clean=clean | {"other": moved["b"]},
        corrupt=corrupt,
        answer=f" {known[(start + 3) % len(known)]}",
        foil=f" {known[(other + 3) % len(known)]}",
        variables={"sequence": ORDERS.index(order), "place": start},
    )


shelf.add(
    Wordings(
        name="successor",
        summary="continue days, months, number words or letters in their order",
        source=Source("Gould et al.", 2023, "https://arxiv.org/abs/2312.09230"),
        chance=1 / 7,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other run": Corruption(about="another run of three words in order", changes=("a", "b", "c")),
            "other last word": Corruption(about="only the last word is replaced", changes=("c",)),
        },
        positions={"word before": "c"},
        variables=("sequence", "place"),
        distractors=("It was {other} before. ",),
        needs="the words of at least one sequence as single tokens",
        fill=fill,
    ).ability()
)
