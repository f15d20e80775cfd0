"""Properties that every family must have, whichever families are registered."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.spec import ModelSpec
from interp_emerge.families import shelf
from interp_emerge.families._disk.hub import HubFamily
from interp_emerge.families.base import Family
from tests.models.computed_apart import assert_same_logits, differ

NAMES = shelf.names()


@pytest.fixture(params=NAMES)
def family(request: pytest.FixtureRequest, full_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(full_hub_cache))
    return shelf[request.param]


def ascends(values: Sequence[float]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))


def test_it_carries_the_name_of_its_file_and_says_what_it_is(family: Family):
    assert ie.load_family(family.name) is family
    assert family.summary and "\n" not in family.summary
    assert family.source.authors


def test_sizes_ascend_by_non_embedding_parameters(family: Family):
    assert len(family.sizes) > 0
    assert len(set(family.sizes)) == len(family.sizes)
    if isinstance(family, HubFamily):  # the cache here holds invented models; what the names say has to ascend
        assert ascends([number_in(size) for size in family.sizes])
    else:
        assert ascends([family.load(size).n_parameters for size in family.sizes])


def number_in(size: str) -> float:
    """Parameters that a size is named after."""
    words = ["small", "medium", "large", "xl"]
    if size in words:
        return words.index(size)
    return float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]]


def test_seeds_ascend_from_zero(family: Family):
    for size in family.sizes:
        assert family.seeds(size)[0] == 0
        assert ascends(family.seeds(size))


def test_steps_ascend_and_none_is_negative(family: Family):
    for size in family.sizes:
        for seed in family.seeds(size):
            assert family.steps(size, seed)[0] >= 0
            assert ascends(family.steps(size, seed))


def test_its_facts_have_a_row_for_each_size_and_only_known_numbers(family: Family):
    facts = family.facts()
    assert facts["size"].tolist() == family.sizes
    assert facts["seeds"].tolist() == [len(family.seeds(size)) for size in family.sizes]
    assert ascends(facts["parameters"].dropna().tolist())
    assert (facts[["parameters", "batch_tokens", "tokens", "flops"]].dropna(how="all").fillna(1) > 0).all(axis=None)


def test_every_run_has_a_repository_of_its_own(family: Family):
    if isinstance(family, HubFamily):
        named = [repository for several in family.repositories.values() for repository in several]
        assert len(named) == len({*named})
        assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in named)


def test_the_step_of_a_revision_can_be_read_back_from_its_name(family: Family):
    if isinstance(family, HubFamily):
        for pattern in family.patterns:
            if not pattern.is_one:
                read = pattern.read(pattern.name(1234).replace("{tokens}", "5B"))
                assert read is not None
                assert (read.step, read.tokens) == (1234, None if pattern.names_by_step else 5 * 10**9)


def test_known_faults_name_checkpoints_that_there_are_and_a_source(family: Family):
    for fault in family.known_faults:
        assert fault.size in ("", *family.sizes)
        assert fault.seed is None or all(fault.seed in family.seeds(size) for size in [fault.size or family.sizes[0]])
        assert fault.what and fault.source.startswith("https://")
        if isinstance(family, HubFamily) and family._published is not None:
            assert {*fault.steps} <= {*family._known_steps(fault.size or family.sizes[0], fault.seed or 0)}


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
    steps = family.steps(size)
    first, last = family.spec(size, steps[0]), family.spec(size)
    assert re.fullmatch("[0-9a-f]{16,40}", first.revision)
    assert (first.revision != last.revision) == (len(steps) > 1)
    assert family.spec(size, steps[0]) == first


def test_training_changed_the_weights(family: Family):
    size = family.sizes[0]
    steps = family.steps(size)
    first, last = family.load(size, steps[0]), family.load(size)
    assert first.spec == family.spec(size, steps[0])
    tokens = torch.tensor([[0, 20, 21, 20]])
    assert torch.isfinite(last.logits(tokens)).all()
    assert differ(first.logits(tokens), last.logits(tokens)) == (len(steps) > 1)


def test_its_models_can_be_split_into_heads_and_bridged(family: Family):
    model = family.load(family.sizes[0])
    assert len(model.decoder.blocks) == model.graph.n_layers
    tokens = torch.tensor([[0, 20, 21, 20]])
    with torch.no_grad():
        assert_same_logits(model.bridge(tokens), model.hf(input_ids=tokens).logits)


def test_it_has_text_to_measure_the_loss_on(family: Family):
    assert all(passage.strip() for passage in family.held_out_text())
    assert len(family.held_out_text()) > 0
