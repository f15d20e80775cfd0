"""Attention patterns of a circuit's heads on one prompt, as plain numbers for the report."""

from typing import Any

from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.caching.recording import record
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.model import HookedModel

DECIMALS = 3
"""Decimal places of an attention value on the page."""


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
