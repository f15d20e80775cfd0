"""Pythia: GPT-NeoX models of ten sizes trained on the same data in the same order, with 154 checkpoints each."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families._facts.pythia import BATCH, EARLY_COPIES, ISSUES, PARAMETERS, STEPS
from interp_emerge.families.base import Fault

FINAL = "has the weights of the end of training"
FINAL_2_8B = (
    *(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    *range(1000, 65_000, 1000),
    *(65_000, 70_000, 80_000, 90_000, 100_000, 103_000, 110_000, 120_000, 130_000, 140_000),
)
"""Of the 86 revisions with the embeddings of the end, all but step 143000, which is the end."""

shelf.add(
    HubFamily(
        name="pythia",
        summary="GPT-NeoX models from 14M to 12B parameters on the Pile, checkpoints from step 0 to 143000",
        source=Source("Biderman et al.", 2023, "https://arxiv.org/abs/2304.01373"),
        repositories={size: f"EleutherAI/pythia-{size}" for size in PARAMETERS},
        steps=STEPS,
        tokens_per_step=BATCH,
        parameters=PARAMETERS,
        license="apache-2.0",
        prepend_bos=True,
        faults=(
            *EARLY_COPIES,
            Fault(size="2.8b", steps=FINAL_2_8B, what=FINAL, source=f"{ISSUES}/205"),
            Fault(
                size="12b",
                steps=(50_000, 58_000),
                what="its first shard is that of step 143000",
                source=f"{ISSUES}/206",
            ),
        ),
    )
)
