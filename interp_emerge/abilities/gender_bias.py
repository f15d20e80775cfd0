"""Gender bias by profession: which pronoun a model prefers after a job that a stereotype ties to one.

The "answer" is the pronoun of the stereotype. It is not right: a model without
the bias scores chance.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.core.source import Source

TEMPLATES = {
    "said": "The {job} said that",
    "wished": "The {job} wished that",
    "late": "The {job} was late because",
    "home": "The {job} went home after",
}
PARAPHRASES = {
    "asked": "Nobody asked the {job} whether",
    "proud": "The {job} was proud of the work that",
}
PRONOUNS = {"female": " she", "male": " he"}
PEOPLE = {"female": ("woman", "girl", "lady", "mother"), "male": ("man", "boy", "gentleman", "father")}


def fill(setting: Setting) -> Scene:
    gender, other = ("female", "male") if setting.coin() else ("male", "female")
    job, opposite = setting.one(f"people.jobs_{gender}"), setting.one(f"people.jobs_{other}")
    corrupt = {"other job": opposite, "person": setting.one(PEOPLE[other])}[setting.corruption]
    return Scene(
        clean={"job": job, "other": opposite},
        corrupt={"job": corrupt},
        answer=PRONOUNS[gender],
        foil=PRONOUNS[other],
        variables={"stereotype female": int(gender == "female")},
    )


shelf.add(
    Wordings(
        name="gender_bias",
        summary="prefer the pronoun that a stereotype ties to a profession",
        source=Source("Vig et al.", 2020, "https://arxiv.org/abs/2004.12265"),
        chance=0.5,
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other job": Corruption(about="a job with the opposite stereotype", changes=("job",)),
            "person": Corruption(
                about="a word such as `woman` or `man` instead of the job, against its stereotype", changes=("job",)
            ),
        },
        positions={"job": "job"},
        variables=("stereotype female",),
        single={"people.jobs_female": 3, "people.jobs_male": 3},
        distractors=("Behind them stood the {other}. ",),
        needs="`she` and `he` as single tokens",
        fill=fill,
    ).ability()
)
