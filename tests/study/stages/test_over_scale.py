"""Tables of what was measured: the tokens of training, and the axis of everything over scale."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.emergence.scale.ladder import RUNGS
from interp_emerge.emergence.scale.trends import TrendVerdict
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.settings import settings_from
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.abilities import ABILITIES, Measured
from interp_emerge.study.stages.base import Results
from interp_emerge.study.work import Work

FAMILY = ie.load_family("miniature")
ABILITY = ie.load_ability("induction")
PARAMETERS = {"3k": 3_000, "7k": 7_000, "14k": 14_000, "25k": 25_000}


def results(axis: Any = "parameters") -> Results:
    settings = settings_from({"sizes": tuple(PARAMETERS), "axis": axis}, "these tests")
    work = Work(family=FAMILY, settings=settings, directory=Path("nowhere"), ability=ABILITY, abilities=[ABILITY])
    made = Results(work)
    for size, n_parameters in PARAMETERS.items():
        for step in (0, 5000):
            values = {"ability": ABILITY.name, "metric": np.repeat(list(RUNGS), 8), "pair": np.tile(np.arange(8), 6)}
            cell = pd.DataFrame({**values, "value": np.random.default_rng(n_parameters + step).random(48)})
            loss = 3.0 - step / 5000 - n_parameters / 1e5
            one = Measured(n_parameters=n_parameters, loss=loss, abilities={ABILITY.name: cell})
            made.add(ABILITIES, Checkpoint(size, step, 0), one)
    return made


def tables(stage: str, results: Results) -> dict[str, pd.DataFrame]:
    chosen = shelf[stage]
    return {table.name: table.shaped(rows) for table, rows in zip(chosen.tables, chosen.fill(results), strict=True)}


def test_tokens_and_flops_are_those_of_all_steps_so_far() -> None:
    table = tables("abilities", results())["ability"].drop_duplicates(["size", "step"]).set_index(["size", "step"])

    assert FAMILY.tokens_per_step is not None
    assert table.loc[("7k", 5000), "tokens"] == 5000 * FAMILY.tokens_per_step
    assert table.loc[("7k", 5000), "flops"] == 6 * 7_000 * 5000 * FAMILY.tokens_per_step
    assert (table.loc[pd.IndexSlice[:, 0], ["tokens", "flops"]] == 0).all(axis=None)


def test_tokens_and_flops_are_empty_if_the_family_does_not_count_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FAMILY, "tokens_per_step", None)
    ability = tables("abilities", results(axis="flops"))["ability"]

    assert ability[["tokens", "flops"]].isna().all(axis=None)
    assert ability[["loss", "value"]].notna().all(axis=None)
    jump = tables("over_scale", results(axis="flops"))["jump"]
    assert "does not say how many tokens a training step has" in jump["reason"].item()


@pytest.mark.parametrize("axis", ["parameters", "flops", "loss"])
def test_every_table_over_scale_uses_the_axis_of_the_study(axis: str) -> None:
    made = tables("over_scale", results(axis=axis))

    for name in ("jump", "trends", "correlations"):
        assert set(made[name]["axis"]) == {axis}
        assert made[name]["metric"].notna().all()


def test_sizes_with_the_same_number_of_tokens_have_no_order() -> None:
    made = tables("over_scale", results(axis="tokens"))

    assert "3k/step5000 and 7k/step5000 share the place" in made["jump"]["reason"].item()
    assert made["trends"]["verdict"].item() == TrendVerdict.UNDEFINED
