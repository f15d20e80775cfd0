"""Capitals: a country is given, and its capital is asked for. The prompt does not hold the fact: the model knows it.

After the corruption `continent` the foil is only a capital to compare with.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

COUNTRIES = words("countries.capitals")
TEMPLATES = {
    "is": "The capital of {country} is",
    "city": "The capital city of {country} is called",
    "known": "As everybody knows, the capital of {country} is",
    "government": "The government of {country} sits in its capital,",
}
PARAPHRASES = {
    "embassy": "Most embassies in {country} are in its capital,",
    "travel": "We traveled through {country} to its capital,",
}


def fill(setting: Setting) -> Scene:
    pairs = "countries.capitals"
    (country, capital), (other, foil) = setting.several(pairs, 2)
    continent = setting.one(words("countries.continents"))
    corrupt = {"other country": other, "continent": continent}[setting.corruption]
    return Scene(
        clean={"country": country, "other": other},
        corrupt={"country": corrupt},
        answer=f" {capital}",
        foil=f" {foil}",
        variables={"country": COUNTRIES.index((country, capital))},
    )


shelf.add(
    Wordings(
        name="capital",
        summary="name the capital of a country",
        source=Source("Hanna et al.", 2024, "https://arxiv.org/abs/2403.17806"),
        chance=1 / len(COUNTRIES),
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other country": Corruption(about="another country, so its capital is right", changes=("country",)),
            "continent": Corruption(about="a continent, which has no capital", changes=("country",)),
        },
        positions={"country": "country"},
        variables=("country",),
        single={"countries.capitals": 4},
        distractors=("Last year we went to {other}. ",),
        fill=fill,
    ).ability()
)
