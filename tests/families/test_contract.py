"""Properties that every family must have, whichever families are registered."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families import shelf
from interp_emerge.families.base import Family
from tests.models.computed_apart import assert_same_logits, differ

NAMES = shelf.names()


@pytest.fixture(params=NAMES)
def family(request: pytest.FixtureRequest, full_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(full_hub_cache))
    return shelf[request.param]


def ascends(values: list[int]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))


def test_it_carries_the_name_of_its_file_and_says_what_it_is(family: Family):
    assert ie.load_family(family.name) is family
    assert family.summary and "\n" not in family.summary
    assert family.source.authors


def test_sizes_ascend_by_non_embedding_parameters(family: Family):
    assert len(family.sizes) > 1
    assert len(set(family.sizes)) == len(family.sizes)
    assert ascends([family.load(size).n_parameters for size in family.sizes])


def test_seeds_ascend_from_zero(family: Family):
    for size in family.sizes:
        assert family.seeds(size)[0] == 0
        assert ascends(family.seeds(size))


def test_steps_ascend_from_zero(family: Family):
    for size in family.sizes:
        for seed in family.seeds(size):
            assert family.steps(size, seed)[0] == 0
            assert ascends(family.steps(size, seed))


def test_spaced_steps_are_some_of_the_steps_with_both_ends(family: Family):
    size = family.sizes[0]
    steps = family.steps(size)
    for at_most in (2, 3, 12):
        spaced = family.spaced_steps(size, at_most=at_most)
        assert set(spaced) <= set(steps)
        assert ascends(spaced)
        assert len(spaced) <= at_most
        assert {spaced[0], spaced[-1]} == {steps[0], steps[-1]}


def test_a_models_name_can_be_read_back(family: Family):
    for size in family.sizes:
        for seed in family.seeds(size):
            spec = family.spec(size, "last", seed)
            read = ModelSpec.parse(str(spec))
            assert (read.family, read.size, read.step, read.seed) == (
                family.name,
                size,
                family.steps(size, seed)[-1],
                seed,
            )
            assert family.spec(read.size, read.step, read.seed) == spec


def test_a_revision_is_known_and_differs_for_other_weights(family: Family):
    size = family.sizes[0]
    first, last = (family.spec(size, step) for step in (0, "last"))
    assert re.fullmatch("[0-9a-f]{16,40}", first.revision)
    assert first.revision != last.revision
    assert family.spec(size, 0) == first


def test_training_changed_the_weights(family: Family):
    size = family.sizes[0]
    first, last = (family.load(size, step) for step in (0, "last"))
    assert first.spec == family.spec(size, 0)
    tokens = torch.tensor([[0, 20, 21, 20]])
    assert torch.isfinite(last.logits(tokens)).all()
    assert differ(first.logits(tokens), last.logits(tokens))


def test_its_models_can_be_split_into_heads_and_bridged(family: Family):
    model = family.load(family.sizes[0])
    assert len(model.decoder.blocks) == model.graph.n_layers
    tokens = torch.tensor([[0, 20, 21, 20]])
    with torch.no_grad():
        assert_same_logits(model.bridge(tokens), model.hf(input_ids=tokens).logits)


def test_it_has_text_to_measure_the_loss_on(family: Family):
    assert all(passage.strip() for passage in family.held_out_text())
    assert len(family.held_out_text()) > 0
