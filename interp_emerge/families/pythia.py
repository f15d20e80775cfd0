"""Pythia: GPT-NeoX models of ten sizes trained on the same data in the same order, with 154 checkpoints each."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SIZES = ["14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]
STEPS = [0, *(2**power for power in range(10)), *range(1000, 143_001, 1000)]


class PythiaFamily(HubFamily):
    """Pythia. Every size was trained on batches of 1024 sequences of 2048 tokens."""

    tokens_per_step = 1024 * 2048
    prepend_bos = True


shelf.add(
    PythiaFamily(
        name="pythia",
        summary="GPT-NeoX models from 14M to 12B parameters on the Pile, checkpoints from step 0 to 143000",
        source=Source("Biderman et al.", 2023, "https://arxiv.org/abs/2304.01373"),
        repositories={size: f"EleutherAI/pythia-{size}" for size in SIZES},
        steps=STEPS,
    )
)
