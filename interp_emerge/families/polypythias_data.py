"""Pythia-160M with the same initial weights and three orders of the data; seeds 0 to 2 are data-seed1 to data-seed3."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families._facts.pythia import BATCH, EARLY_COPIES, PARAMETERS, STEPS

shelf.add(
    HubFamily(
        name="polypythias_data",
        summary="Pythia-160M from the same initial weights on three orders of the data, checkpoints to step 143000",
        source=Source("van der Wal et al.", 2025, "https://arxiv.org/abs/2503.09543"),
        repositories={"160m": [f"EleutherAI/pythia-160m-data-seed{seed}" for seed in (1, 2, 3)]},
        steps=STEPS,
        tokens_per_step=BATCH,
        parameters={"160m": PARAMETERS["160m"]},
        license="apache-2.0",
        prepend_bos=True,
        faults=EARLY_COPIES,
    )
)
