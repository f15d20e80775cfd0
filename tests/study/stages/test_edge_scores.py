"""Scores that are read from a study's directory have the same origin as fresh ones."""

from pathlib import Path

import numpy as np

import interp_emerge as ie
from interp_emerge.abilities.prompts import DISCOVERY
from interp_emerge.study.stages.edge_scores import edge_scores
from tests.studies import SETTINGS


def test_scores_from_a_cell_have_the_origin_of_fresh_ones(tmp_path: Path):
    work = ie.Study(out=str(tmp_path / "out"), **{**SETTINGS, "seed": 3})._work()
    at = work.grid.last[0]
    model = work.models.get(*at)
    computed, read = (edge_scores(work, model, at, "eap_ig") for _ in range(2))
    pairs = work.ability.sample(model, SETTINGS["n_pairs"], DISCOVERY + 3)
    steps = SETTINGS["steps_of_integration"]
    fresh = ie.score(model, pairs, method="eap_ig", metric="logit_diff", steps=steps)
    assert isinstance(fresh, ie.EdgeScores)
    assert computed.origin == read.origin == fresh.origin
    assert read.origin["steps"] == steps
    np.testing.assert_array_equal(read.scores, fresh.scores)
