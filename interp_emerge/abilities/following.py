"""Whether a model uses what differs between the clean and the corrupted prompts of an ability.

A model can have a high accuracy without the ability: if the right answer is always the first thing named, a model that
repeats the first thing is right after every clean prompt, and gives the same answer after every corrupted one. So the
pairs are read both ways. Two quantities tell the cases apart (`FOLLOWING`):

* `corrupt_accuracy`, the share of corrupted prompts after which the foil is the most likely token, and
* `gap`, the logit difference between answer and foil after the clean prompt, minus that after the corrupted one, in
  logits (of answers with several tokens the difference of log-probabilities). Circuits explain this gap: without one
  there is none to find.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from interp_emerge.abilities.metrics import metrics_of_clean
from interp_emerge.abilities.own.completions import Completions
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.model import HookedModel
from interp_emerge.stats.intervals import NEGATIVE, WITHIN_NOISE, mean_interval, not_above_zero

if TYPE_CHECKING:
    import pandas as pd

FOLLOWING = ("corrupt_accuracy", "gap")
"""Names of what is measured on both prompts of a pair."""
SAME_AFTER_BOTH = (
    "the model prefers the answer as much after the corrupted prompts as after the clean ones, so it does not use what "
    "differs between them"
)
VARY = "let rows differ in which place is right (docs/own_prompts.md, Balance your rows)"


def exchanged(pairs: PromptPairs) -> PromptPairs:
    """The same pairs with clean and corrupted prompts exchanged, and answers and foils; without what is named in them.

    Example:
        >>> pairs = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], answer=[8], foil=[9])
        >>> ie.abilities.exchanged(pairs).prompts("clean")
        [[5, 7]]
    """
    lengths, whole = pairs.lengths.tolist(), pairs.completions
    filled = {"clean": pairs.prompts("corrupt"), "corrupt": pairs.prompts("clean")}
    prompts: dict[str, Any] = {
        name: [row[:n] for row, n in zip(rows, lengths, strict=True)] for name, rows in filled.items()
    }
    if whole is not None:
        whole = Completions(answers=whole.foils, foils=whole.answers, appended=whole.appended)
    return PromptPairs(**prompts, answer=pairs.foil, foil=pairs.answer, completions=whole, encoding=pairs.encoding)


def following(model: HookedModel, pairs: PromptPairs, clean: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """`FOLLOWING` by name, each of shape [pair]. `clean` is the logit difference after the clean prompts if known."""
    if clean is None:
        clean = metrics_of_clean(model, pairs, ["logit_diff"])["logit_diff"]
    corrupt = metrics_of_clean(model, exchanged(pairs), ["accuracy", "logit_diff"])
    return {"corrupt_accuracy": corrupt["accuracy"], "gap": clean + corrupt["logit_diff"]}


def why_not_followed(gap: np.ndarray) -> str:
    """A sentence if a gap, shape [pair], is not above zero; empty if it is, or if there are too few pairs to tell.

    Example:
        >>> ie.abilities.why_not_followed(np.array([1.0, 1.2, 0.9, 1.1, 1.0, 0.8]))
        ''
    """
    match not_above_zero(gap):
        case found if found == WITHIN_NOISE:
            return f"{SAME_AFTER_BOTH} (gap {mean_interval(gap)}, within noise); {VARY}"
        case found if found == NEGATIVE:
            return (
                f"the model prefers the answer more after the corrupted prompts than after the clean ones (gap "
                f"{mean_interval(gap)}); clean and corrupted prompts, or answers and foils, may be exchanged"
            )
        case _:
            return ""


def not_followed(measured: "pd.DataFrame") -> list[str]:
    """A sentence for each ability whose gap is not above zero, from a table of `measure(..., both=True)`.

    Example:
        >>> ie.abilities.not_followed(ie.abilities.measure(model, [ability], n=16, both=True))
    """
    gaps = measured[measured["metric"] == "gap"]
    found = [(name, why_not_followed(of["value"].to_numpy())) for name, of in gaps.groupby("ability", sort=False)]
    return [f"{name}: {why}" for name, why in found if why]
