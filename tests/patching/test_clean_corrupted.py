from dataclasses import replace

import numpy as np
import pytest

from interp_emerge.abilities.pairs import PromptPairs
from tests.models.small_models import FORMS, random_pairs, small_model
from tests.patching.scored import score_edges


@pytest.mark.parametrize("architecture", FORMS)
def test_it_is_the_mean_of_the_gradients_at_both_ends(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    at_corrupt = score_edges(model, pairs, "eap").scores
    # With the runs exchanged, the gradient is that of the clean run and the change has the other sign.
    exchanged = score_edges(model, replace_runs(pairs), "eap").scores
    found = score_edges(model, pairs, "clean_corrupted").scores
    assert np.abs(at_corrupt + exchanged).max() > 1e-3
    np.testing.assert_allclose(found, (at_corrupt - exchanged) / 2, atol=2e-6)


def test_scores_by_position_sum_to_the_collapsed_ones():
    model, pairs = small_model("gpt_neox"), random_pairs()
    collapsed, resolved = (score_edges(model, pairs, "clean_corrupted", positions=p) for p in (None, "all"))
    np.testing.assert_allclose(resolved.scores.sum(0), collapsed.scores, atol=1e-6)


def replace_runs(pairs: PromptPairs) -> PromptPairs:
    return replace(pairs, clean=pairs.corrupt, corrupt=pairs.clean)
