"""Mistral of Stanford's CRFM: GPT-2 small and medium with five seeds each, and 609 checkpoints a run.

Seeds 0 to 4 are the runs x21, x49, x81, x343 and x777 (the number is the seed of the training script). The repositories
hold pickled weights, which this package does not read: docs/families.md shows how to convert them.
"""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

SMALL = ["alias-gpt2-small-x21", "battlestar-gpt2-small-x49", "caprica-gpt2-small-x81"]
SMALL += ["darkmatter-gpt2-small-x343", "expanse-gpt2-small-x777"]
MEDIUM = ["arwen-gpt2-medium-x21", "beren-gpt2-medium-x49", "celebrimbor-gpt2-medium-x81"]
MEDIUM += ["durin-gpt2-medium-x343", "eowyn-gpt2-medium-x777"]
# The schedule is that of the list of checkpoints which TransformerLens keeps.
STEPS = [*range(0, 100, 10), *range(100, 2000, 50), *range(2000, 20_000, 100), *range(20_000, 400_001, 1000)]

shelf.add(
    HubFamily(
        name="crfm_gpt2",
        summary="GPT-2 small and medium on OpenWebText with five seeds each, 609 checkpoints to step 400000; pickled",
        source=Source("Karamcheti et al.", 2021, "https://github.com/stanford-crfm/mistral"),
        repositories={
            "small": [f"stanford-crfm/{name}" for name in SMALL],
            "medium": [f"stanford-crfm/{name}" for name in MEDIUM],
        },
        revisions="checkpoint-{step}",
        steps=STEPS,
        parameters={"small": 124_439_808, "medium": 354_823_168},
        license="apache-2.0",
    )
)
