"""What all suites of the Pythia project share: sizes, checkpoints, the batch, and faults of the repositories.

Sources: the model cards (https://huggingface.co/EleutherAI/pythia-70m and others) for sizes, steps and the batch of
1024 sequences of 2048 tokens; https://huggingface.co/EleutherAI/pythia-70m-seed7 for the names of the seeds.
"""

from interp_emerge.families.base import Fault

ISSUES = "https://github.com/EleutherAI/pythia/issues"
STEPS = [0, *(2**power for power in range(10)), *range(1000, 143_001, 1000)]
BATCH = 1024 * 2048
PARAMETERS = {
    "14m": 14_067_712,
    "31m": 30_494_720,
    "70m": 70_426_624,
    "160m": 162_322_944,
    "410m": 405_334_016,
    "1b": 1_011_781_632,
    "1.4b": 1_414_647_808,
    "2.8b": 2_775_208_960,
    "6.9b": 6_857_302_016,
    "12b": 11_846_072_320,
}
"""Parameters by size, embeddings included."""
EARLY_COPIES = (
    Fault(size="", steps=(1,), what="has the weights of step 0", source=f"{ISSUES}/83"),
    Fault(size="", steps=(2,), what="is reported to have the weights of step 0", source=f"{ISSUES}/198"),
)
