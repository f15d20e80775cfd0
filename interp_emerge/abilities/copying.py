"""Literal copying: a list of words is copied word by word. The wording says how frequent the words are in English.

The answer is the last word of the list. A model that copies some word of the list at random is right in one case of
four.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.core.source import Source

BANDS = ("frequent", "middling", "rare")
LIST = "Text: {a} {b} {c} {d}\nCopy: {a2} {b2} {c2}"
TEMPLATES = {f"{band} words": LIST for band in BANDS}
PARAPHRASES = {f"{band} words, said": 'She said "{a} {b} {c} {d}", and he said "{a2} {b2} {c2}' for band in BANDS}


def fill(setting: Setting) -> Scene:
    band = setting.template.split()[0]
    a, b, c, d, new = setting.several(f"text.{band}", 5)
    corrupt = {"swapped": {"d": a, "a": d}, "replaced": {"d": new}}[setting.corruption]
    return Scene(
        clean={"a": a, "b": b, "c": c, "d": d, "a2": a, "b2": b, "c2": c, "other": new},
        corrupt=corrupt,
        answer=f" {d}",
        foil=f" {corrupt['d']}",
        variables={"band": BANDS.index(band)},
    )


shelf.add(
    Wordings(
        name="copying",
        summary="copy a list of words: frequent, middling or rare ones",
        source=Source("Olsson et al.", 2022, "https://arxiv.org/abs/2209.11895"),
        chance=0.25,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "swapped": Corruption(
                about="first and last word exchanged in the list, not in its copy", changes=("a", "d")
            ),
            "replaced": Corruption(about="another last word in the list", changes=("d",)),
        },
        positions={"last word": "d", "word before": "c", "copied word before": "c2"},
        variables=("band",),
        single={f"text.{band}": 5 for band in BANDS},
        distractors=("Word of the day: {other}\n",),
        fill=fill,
    ).ability()
)
