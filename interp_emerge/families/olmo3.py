"""Olmo 3: open models with sliding windows in three of four layers. Only the first stage of training is followed."""

from interp_emerge.core.source import Source
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily

shelf.add(
    HubFamily(
        name="olmo3",
        summary="Olmo 3 of 7B and 32B parameters, first stage of training; the hub lists which steps",
        source=Source("Olmo team", 2025, "https://arxiv.org/abs/2512.13961"),
        # The 7B model's revisions are named stage1-stepN; those of the 32B model were not looked up.
        repositories={"7b": "allenai/Olmo-3-1025-7B", "32b": "allenai/Olmo-3-1125-32B"},
        revisions=["stage1-step{step}", "stage1-step{step}-tokens{tokens}"],
        license="apache-2.0",
    )
)
