"""Pythia-160M on one order of the data from three initial weights; seeds 0 to 2 are weight-seed1 to weight-seed3."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families._facts.pythia import BATCH, EARLY_COPIES, ISSUES, PARAMETERS, STEPS
from interp_emerge.families.base import Fault

FOREIGN = "later steps of the run do not descend from its step 0"

shelf.add(
    HubFamily(
        name="polypythias_weights",
        summary="Pythia-160M from three initial weights on the same order of the data, checkpoints to step 143000",
        source=Source("van der Wal et al.", 2025, "https://arxiv.org/abs/2503.09543"),
        repositories={"160m": [f"EleutherAI/pythia-160m-weight-seed{seed}" for seed in (1, 2, 3)]},
        steps=STEPS,
        tokens_per_step=BATCH,
        parameters={"160m": PARAMETERS["160m"]},
        license="apache-2.0",
        prepend_bos=True,
        faults=(
            *EARLY_COPIES,
            Fault(size="160m", seed=0, steps=(0,), what=FOREIGN, source=f"{ISSUES}/203"),
            Fault(size="160m", seed=1, steps=(0,), what=FOREIGN, source=f"{ISSUES}/203"),
        ),
    )
)
