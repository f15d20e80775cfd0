"""Subject-verb agreement: the verb agrees with its subject, not with the noun that stands nearer.

Every verb of the right number counts as an answer, every one of the other number as a foil. In the relative clause and
the prepositional phrase another noun stands between; half the time its number differs from the subject's.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.core.source import Source

TEMPLATES = {
    "simple": "The {subject}",
    "relative clause": "The {subject} that the {nearer} liked",
    "prepositional phrase": "The {subject} near the {nearer}",
    "simple, of yesterday": "I know that yesterday the {subject}",
}
PARAPHRASES = {
    "behind": "The {subject} behind the {nearer}",
    "with": "As usual, the {subject} with the {nearer}",
}
VERBS = ([" is", " was", " has", " does"], [" are", " were", " have", " do"])
"""Verbs after a singular and after a plural subject."""


def fill(setting: Setting) -> Scene:
    subject, nearer, other = setting.several("grammar.plurals", 3)
    number, nearer_number = int(setting.coin()), int(setting.coin())
    corrupt = {"other number": subject[1 - number], "other noun": other[1 - number]}[setting.corruption]
    return Scene(
        clean={"subject": subject[number], "nearer": nearer[nearer_number], "other": other[1 - number]},
        corrupt={"subject": corrupt},
        answer=VERBS[number],
        foil=VERBS[1 - number],
        variables={"plural": number, "nearer noun plural": nearer_number},
    )


shelf.add(
    Wordings(
        name="subject_verb_agreement",
        summary="continue with a verb of the subject's number",
        source=Source("Finlayson et al.", 2021, "https://arxiv.org/abs/2106.06087"),
        chance=0.5,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other number": Corruption(about="the same noun in the other number", changes=("subject",)),
            "other noun": Corruption(about="another noun in the other number", changes=("subject",)),
        },
        positions={"subject": "subject"},
        variables=("plural", "nearer noun plural"),
        single={"grammar.plurals": 3},
        distractors=("There we saw the {other}. ",),
        needs="verbs such as `is` and `are` as single tokens",
        fill=fill,
    ).ability()
)
