"""Attention patterns of a circuit's heads on one prompt, as plain numbers for the report."""

from typing import Any

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel

DECIMALS = 3
"""Decimal places of an attention value on the page."""
MOST_VALUES = 4_000_000
"""The most attention values that are written for one training run; with more, only those of the last step are."""


def attention_of(model: HookedModel, circuit: Circuit, pairs: PromptPairs, *, title: str) -> dict[str, Any]:
    """Patterns of the circuit's heads on the first clean prompt: `title`, `tokens`, `heads`, `patterns`."""
    prompt = pairs[:1].clean
    patterns = record(model, prompt, patterns=True).patterns(model.graph.n_layers)[0]
    heads = [node for node in model.graph.writers if node.name in set(circuit.heads)]
    return {
        "title": title,
        "tokens": model.words(prompt[0].tolist()),
        "heads": [head.name for head in heads],
        "patterns": [
            patterns[head.layer, head.index].double().cpu().numpy().round(DECIMALS).tolist() for head in heads
        ],
    }


def over_training(found: dict[int, dict[str, Any]], **run: Any) -> dict[str, Any]:
    """The patterns of one training run's last step, and below `earlier` those of its other steps.

    Args:
        found: what `attention_of` returns for the heads of one circuit, by step; the last step comes last.
        **run: names of the training run, such as its size, seed and ability.
    """
    last = [*found][-1]
    n_values = len(found) * len(found[last]["heads"]) * len(found[last]["tokens"]) ** 2
    kept = [*found][:-1] if n_values <= MOST_VALUES else []
    # Steps of one run share a tokenizer; patterns on other tokens could not be shown under the same ones.
    same = [step for step in kept if found[step]["tokens"] == found[last]["tokens"]]
    earlier = [{"step": step, "patterns": found[step]["patterns"]} for step in same]
    return {**found[last], **run, "step": last, "earlier": earlier}
