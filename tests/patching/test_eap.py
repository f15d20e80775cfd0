import numpy as np
import pytest

from tests.core.small_models import MORE_ARCHITECTURES, random_pairs, small_model
from tests.patching.exact import slow_eap
from tests.patching.lens_edges import lens_edge_scores, name_of
from tests.patching.scored import score_edges


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_edges_score_what_transformer_lens_gives_them_summed_over_positions(architecture: str):
    model, pair = small_model(architecture, layers=2, seed=3), random_pairs(1)
    scores = score_edges(model, pair, "eap").scores
    expected, counted = np.zeros_like(scores), np.zeros_like(model.graph.exists)
    for (writer, reader), score in lens_edge_scores(model, pair).items():
        at = model.graph.writer_names.index(name_of(writer)), model.graph.reader_names.index(name_of(reader))
        expected[at] += score
        counted[at] = True
    assert (counted == model.graph.exists).all()
    assert np.abs(scores - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("architecture", MORE_ARCHITECTURES)
def test_edges_score_what_autograd_gives_when_every_reader_has_an_input_of_its_own(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    scores, expected = score_edges(model, pairs, "eap").scores, slow_eap(model, pairs)
    # Largest difference 1.5e-6.
    assert np.abs(scores - expected).max() < 1e-4 * np.abs(expected).max()


def test_standard_errors_are_those_of_the_mean_over_pairs():
    model, pairs = small_model("gpt2"), random_pairs()
    scores = score_edges(model, pairs, "eap")
    alone = np.stack([score_edges(model, pairs[[row]], "eap").scores for row in range(len(pairs))])
    np.testing.assert_allclose(scores.scores, alone.mean(0), atol=1e-6)
    np.testing.assert_allclose(scores.standard_errors, alone.std(0, ddof=1) / len(pairs) ** 0.5, atol=1e-6)
    assert not scores.scores[~model.graph.exists].any()
