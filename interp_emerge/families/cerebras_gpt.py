"""Cerebras-GPT: seven sizes, each trained on 20 tokens for a parameter; the end of training only.

Batches are those of the card's table, in sequences of 2048 tokens; the 13B model changed its batch while it trained.
The number of steps is 20 tokens a parameter over the batch, which the card does not print, so it counts as unknown.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

# https://huggingface.co/cerebras/Cerebras-GPT-111M
SEQUENCES = {"111m": 120, "256m": 264, "590m": 264, "1.3b": 528, "2.7b": 528, "6.7b": 1040}
SIZES = {"111m": "111M", "256m": "256M", "590m": "590M", "1.3b": "1.3B", "2.7b": "2.7B", "6.7b": "6.7B", "13b": "13B"}

shelf.add(
    HubFamily(
        name="cerebras_gpt",
        summary="Cerebras-GPT of 111M to 13B parameters on the Pile, 20 tokens a parameter; the end of training only",
        source=Source("Dey et al.", 2023, "https://arxiv.org/abs/2304.03208"),
        repositories={size: f"cerebras/Cerebras-GPT-{name}" for size, name in SIZES.items()},
        revisions="main",
        tokens_per_step={size: sequences * 2048 for size, sequences in SEQUENCES.items()},
        license="apache-2.0",
    )
)
