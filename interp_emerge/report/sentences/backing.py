"""Where on the page a sentence of the answer can be checked: the tables that it is made of.

A sentence is recognised by the words that `answers` begins or joins it with, since a study keeps its answer as text.
"""

CIRCUIT = "of the clean-corrupt gap on prompts that were not used to find them"
CARRIED = "In this circuit, "
TRAINING = "During training at "
NEIGHBOURS = "Circuits of neighbouring sizes compared, "
OPEN = "Open: "
GUESS = "where a guess scores "
NO_CIRCUIT = "No size has a circuit to report"

BACKED_BY = {
    GUESS: ("scale-accuracy-table", "scale-seeds-table", "onsets"),
    CIRCUIT: ("circuit-1-table",),
    CARRIED: ("roles", "chance-ablation-table", "circuit"),
    TRAINING: ("formation-first-table", "onsets"),
    NEIGHBOURS: ("same-circuits-table",),
    OPEN: (
        "scale-jump-table",
        "same-circuits-table",
        "formation-lags-table",
        "formation-dependence-table",
        "scale-seeds-table",
    ),
    NO_CIRCUIT: ("circuit-1-table",),
}
"""Anchors of the tables behind each kind of sentence."""


def backing(sentence: str) -> tuple[str, ...]:
    """Anchors of the tables behind a sentence of the answer; none for a sentence that no study of today writes."""
    return next((anchors for words, anchors in BACKED_BY.items() if words in sentence), ())
