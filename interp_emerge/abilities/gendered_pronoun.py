"""Gendered pronouns: the pronoun of a tag question agrees with the first name before it.

After the corruption `neutral` no pronoun is right: the foil is only the one that the clean answer is compared with.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

TEMPLATES = {
    "friend": "So {name} is a really great friend, isn't",
    "neighbour": "Surely {name} was a good neighbor, wasn't",
    "cook": "Well, {name} is the best cook we know, isn't",
    "speaker": "I think {name} was the last speaker, wasn't",
}
PARAPHRASES = {
    "because": "Everybody likes {name} because",
    "said": "We waited until {name} said that",
}
PRONOUNS = {"female": " she", "male": " he"}


def fill(setting: Setting) -> Scene:
    gender, other = ("female", "male") if setting.coin() else ("male", "female")
    name, opposite = setting.one(f"people.{gender}"), setting.one(f"people.{other}")
    neutral = setting.one(words("people.neutral"))
    corrupt = {"other gender": opposite, "neutral": neutral}[setting.corruption]
    return Scene(
        clean={"name": name, "other": opposite},
        corrupt={"name": corrupt},
        answer=PRONOUNS[gender],
        foil=PRONOUNS[other],
        variables={"female": int(gender == "female")},
    )


shelf.add(
    Wordings(
        name="gendered_pronoun",
        summary="ask back with the pronoun that fits a first name",
        source=Source("Mathwin et al.", 2023, "https://itch.io/jam/mechint/rate/1889871"),
        chance=0.5,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other gender": Corruption(
                about="a name of the other gender, so the other pronoun is right", changes=("name",)
            ),
            "neutral": Corruption(about="a word such as `everyone` instead of the name", changes=("name",)),
        },
        positions={"name": "name"},
        variables=("female",),
        single={"people.female": 4, "people.male": 4},
        swaps={"people.female": "people.other_female", "people.male": "people.other_male"},
        distractors=("We had asked {other} before. ",),
        needs="`she` and `he` as single tokens",
        fill=fill,
    ).ability()
)
