"""TinyStories: GPT-Neo models of 1M to 33M parameters on synthetic short stories; the end of training only."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SIZES = ["1m", "3m", "8m", "28m", "33m"]

shelf.add(
    HubFamily(
        name="tinystories",
        summary="GPT-Neo models of 1M to 33M parameters on short stories in plain English; the end of training only",
        source=Source("Eldan and Li", 2023, "https://arxiv.org/abs/2305.07759"),
        repositories={size: f"roneneldan/TinyStories-{size.upper()}" for size in SIZES},
        revisions="main",
        # The card of TinyStories-33M names this tokenizer, and the MIT licence; the other cards name none.
        tokenizer="EleutherAI/gpt-neo-125M",
    )
)
