"""Pythia on the deduplicated Pile: eight sizes, with the same data order and checkpoints as Pythia."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families._facts.pythia import BATCH, EARLY_COPIES, PARAMETERS, STEPS

SIZES = [size for size in PARAMETERS if size not in ("14m", "31m")]

shelf.add(
    HubFamily(
        name="pythia_deduped",
        summary="Pythia trained on the deduplicated Pile, 70M to 12B parameters, checkpoints from step 0 to 143000",
        source=Source("Biderman et al.", 2023, "https://arxiv.org/abs/2304.01373"),
        repositories={size: f"EleutherAI/pythia-{size}-deduped" for size in SIZES},
        steps=STEPS,
        tokens_per_step=BATCH,
        parameters={size: PARAMETERS[size] for size in SIZES},
        license="apache-2.0",
        prepend_bos=True,
        faults=EARLY_COPIES,
    )
)
