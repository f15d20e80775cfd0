"""Scrubbing the bundled 560k through its checkpoints: previous-token heads are on the page before induction heads."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.abilities.tables import ABILITY
from interp_emerge.circuits.roles.table import role_scores
from interp_emerge.emergence.forming.tables import FORMATION, ONSETS
from interp_emerge.report import build_report
from interp_emerge.tables.io import write_table
from tests.figures.invented import ability
from tests.report.browser import browse
from tests.report.fake_study import provenance

FOLLOWED = {"previous_token": 2, "induction": 3}
"""How many heads are followed in each role: those with the highest scores at the last step."""


@pytest.fixture(scope="module")
def scores() -> dict[int, dict[str, dict[str, float]]]:
    """Role scores of every head of 560k at every checkpoint, by step, role and head."""
    family = ie.load_family("miniature")
    found: dict[int, dict[str, dict[str, float]]] = {}
    for step in family.steps("560k", 0):
        model = family.load("560k", step=step, seed=0)
        heads = [node.name for node in model.graph.writers if node.kind == "head"]
        measured = role_scores(model)
        found[step] = {role: dict(zip(heads, measured[role].mean(0).tolist(), strict=True)) for role in FOLLOWED}
    return found


def written(directory: Path, scores: dict[int, dict[str, dict[str, float]]]) -> Path:
    """A study's directory with these scores: the strongest heads of each role, and the half of their last score."""
    last = scores[max(scores)]
    formed: list[dict[str, Any]] = []
    halves: list[dict[str, Any]] = []
    for role, n in FOLLOWED.items():
        for head in sorted(last[role], key=lambda name: -last[role][name])[:n]:
            about = {"ability": "induction", "quantity": role, "component": head}
            halves.append({**about, "axis": "step", "at": "560k", "threshold": last[role][head] / 2})
            formed += [
                {**about, "size": "560k", "step": step, "seed": 0, "value": one[role][head]}
                for step, one in scores.items()
            ]
    able = ability(tuple(scores)).query("size == '1m'").assign(size="560k", known_fault="")
    write_table(able, ABILITY, directory / "tables")
    write_table(FORMATION.shaped(pd.DataFrame(formed)), FORMATION, directory / "tables")
    write_table(ONSETS.shaped(pd.DataFrame(halves)), ONSETS, directory / "tables")
    (directory / "provenance.json").write_text(json.dumps(provenance()))
    return directory


def test_previous_token_heads_come_before_induction_heads(scores, tmp_path: Path):
    assert len(scores) == 12
    first: dict[str, int] = {}
    with browse(build_report(written(tmp_path, scores)), at="#size=560k&step=0") as page:
        page.locator("#explorer-step").focus()
        for step in sorted(scores):
            shown = page.inner_text("#explorer-status")
            assert f"560k, step {step:,}." in shown
            for role in FOLLOWED:
                if re.search(rf"; {role.replace('_', ' ')}: a\d", shown):
                    first.setdefault(role, step)
            page.keyboard.press("ArrowRight")
    halfway = {
        role: min(
            step for step, one in scores.items() if max(one[role].values()) > max(scores[5000][role].values()) / 2
        )
        for role in FOLLOWED
    }
    assert first == halfway
    assert np.isfinite([*first.values()]).all() and first["previous_token"] < first["induction"]
