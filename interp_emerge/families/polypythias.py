"""PolyPythias: ten training runs of each of five sizes of Pythia, which differ in the seed of everything.

Seed 0 is Pythia itself (seed 1234 in its configuration); seeds 1 to 9 are the repositories of these names. Initial
weights and order of the data both change with the seed; `polypythias_data` and `polypythias_weights` change one.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families._facts.pythia import BATCH, EARLY_COPIES, PARAMETERS, STEPS
from interp_emerge.families.base import Fault

PAPER = "https://arxiv.org/abs/2503.09543"
SIZES = ["14m", "31m", "70m", "160m", "410m"]
OUTLIER = "an outlier run: its accuracies fall behind those of the other seeds"

shelf.add(
    HubFamily(
        name="polypythias",
        summary="Pythia with ten seeds: five sizes from 14M to 410M parameters, checkpoints from step 0 to 143000",
        source=Source("van der Wal et al.", 2025, PAPER),
        repositories={
            size: [f"EleutherAI/pythia-{size}", *(f"EleutherAI/pythia-{size}-seed{seed}" for seed in range(1, 10))]
            for size in SIZES
        },
        steps=STEPS,
        # Without weights on the hub: https://github.com/EleutherAI/pythia/issues/202
        holes={("410m", 2): [111_000], ("410m", 6): [88_000], ("410m", 9): [40_000]},
        tokens_per_step=BATCH,
        parameters={size: PARAMETERS[size] for size in SIZES},
        license="apache-2.0",
        prepend_bos=True,
        faults=(
            *EARLY_COPIES,
            Fault(size="410m", seed=3, what=OUTLIER, source=f"{PAPER}, figure 4"),
            Fault(size="410m", seed=4, what=OUTLIER, source=f"{PAPER}, figure 4"),
        ),
    )
)
