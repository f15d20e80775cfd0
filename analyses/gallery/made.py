"""Tables of figures that no study writes, made from the bundled models."""

import pandas as pd

import interp_emerge as ie
from interp_emerge.emergence import forming, sameness


def transferred() -> pd.DataFrame:
    """The circuits of three steps of one model, each run at these steps."""
    family, ability = ie.load_family("miniature"), ie.load_ability("induction")
    models = {f"step {step}": family.load("200k", step) for step in (1000, 2000, 5000)}
    pairs = {seed: ability.sample(models["step 5000"], 48, seed=seed) for seed in (0, 2000)}
    circuits = {name: ie.score(model, pairs[0]).top(30) for name, model in models.items()}
    return sameness.transfer(circuits, models.items(), pairs[2000])


def turned() -> pd.DataFrame:
    """The directions of one variable at five checkpoints of one run."""
    run = [ie.load_family("miniature").load("25k", step) for step in (0, 250, 1000, 2000, 5000)]
    pairs = ie.load_ability("indirect_object").sample(run[-1], 256)
    return forming.direction_turns(run, pairs, variable="receiver", layer=1)


MADE = {"transfer_matrix": transferred, "turns_matrix": turned}
"""Tables that no study writes."""
