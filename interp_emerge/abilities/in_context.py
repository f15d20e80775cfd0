"""Tasks from examples: four pairs of words show a task, and the model does it for a fifth word.

The wording is the task: opposites, plurals, capitals. `shuffled examples` gives each example the result of another one,
so that nothing shows the task; the foil is then only a word to compare with.
"""

from interp_emerge.abilities import shelf
from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import words
from interp_emerge.core.source import Source

LISTS = {"opposite": "grammar.opposites", "plural": "grammar.plurals", "capital": "countries.capitals"}
EXAMPLES = 4
RESULTS = tuple(f"y{place}" for place in range(EXAMPLES))


def wording(between: str, end: str) -> str:
    """Four examples and the word that is asked for."""
    shown = "".join(f"{{x{place}}}{between} {{y{place}}}{end}" for place in range(EXAMPLES))
    return f"{shown}{{asked}}{between}"


TEMPLATES = {task: wording(":", "\n") for task in LISTS}
PARAPHRASES = {f"{task}, arrows": wording(" ->", "\n") for task in LISTS}


def fill(setting: Setting) -> Scene:
    name = LISTS[setting.template.split(",")[0]]
    *examples, (asked, answer), (other, foil) = setting.several(name, EXAMPLES + 2)
    clean = {"asked": asked}
    for place, (x, y) in enumerate(examples):
        clean |= {f"x{place}": x, f"y{place}": y}
    shuffled = {slot: examples[(place + 1) % EXAMPLES][1] for place, slot in enumerate(RESULTS)}
    corrupt = {"other word": {"asked": other}, "shuffled examples": shuffled}[setting.corruption]
    return Scene(
        clean=clean,
        corrupt=corrupt,
        answer=f" {answer}",
        foil=f" {foil}",
        variables={"task": [*LISTS].index(setting.template.split(",")[0]), "word": words(name).index((asked, answer))},
    )


shelf.add(
    Wordings(
        name="in_context",
        summary="do for one word what four examples show: opposites, plurals, capitals",
        source=Source("Todd et al.", 2023, "https://arxiv.org/abs/2310.15213"),
        chance=1 / len(words("grammar.opposites")),
        templates=TEMPLATES,
        paraphrases=PARAPHRASES,
        corruptions={
            "other word": Corruption(about="another word is asked for", changes=("asked",)),
            "shuffled examples": Corruption(about="each example has the result of another one", changes=RESULTS),
        },
        positions={"asked word": "asked", "last example": RESULTS[-1]},
        variables=("task", "word"),
        single=dict.fromkeys(LISTS.values(), EXAMPLES + 2),
        fill=fill,
    ).ability()
)
