"""Prompts of a study: drawn once for each tokenizer, and the same as those that an ability draws for each model."""

from dataclasses import replace

import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION, Prompts, split_of
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.abilities.tokenizers import BUILT, speaker_of
from tests.models.small_models import build, small_model
from tests.models.tokenizers import PythonWords


def counted(ability: Ability) -> tuple[Ability, list[HookedModel]]:
    """The ability, and a list of the models for which it has drawn."""
    asked: list[HookedModel] = []

    def draw(model, n, rng):
        asked.append(model)
        return ability.draw(model, n, rng)

    return replace(ability, draw=draw), asked


def test_models_of_one_tokenizer_share_the_prompts_that_each_would_draw():
    family, (ability, asked) = ie.load_family("miniature"), counted(ie.load_ability("indirect_object"))
    prompts, models = Prompts(), [family.load(size) for size in ("3k", "200k")]
    shared = [prompts.sample(ability, model, 8, 5) for model in models]
    assert asked == models[:1]
    for model, pairs in zip(models, shared, strict=True):
        assert pairs.fingerprint == ability.sample(model, 8, 5).fingerprint


def test_another_number_seed_ability_or_vocabulary_draws_anew():
    (ability, asked), prompts, model = counted(ie.load_ability("induction")), Prompts(), small_model("gpt2")
    first = prompts.sample(ability, model, 4, 0)
    assert len(prompts.sample(ability, model, 6, 0)) == 6
    assert prompts.sample(ability, model, 4, 1).fingerprint != first.fingerprint
    larger = ie.load_family("miniature").load("3k")
    assert prompts.sample(ability, larger, 4, 0).fingerprint != first.fingerprint
    assert len(asked) == 4
    assert prompts.sample(ability, model, 4, 0) is first
    assert len(asked) == 4


def test_a_tokenizer_without_an_identity_shares_nothing():
    class WithoutFiles(PythonWords):
        def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
            raise NotImplementedError

    (ability, asked), prompts = counted(ie.load_ability("induction")), Prompts()
    for _ in range(2):
        model = ie.hook(build("gpt2"), tokenizer=WithoutFiles())
        assert model.vocabulary == ""
        prompts.sample(ability, model, 4, 0)
    assert len(asked) == 2


def test_shared_prompts_that_do_not_fit_a_model_are_refused():
    ability, prompts, model = ie.load_ability("induction"), Prompts(), ie.load_family("miniature").load("3k")
    prompts.sample(ability, model, 4, 0)
    short = ie.load_family("miniature").load("3k")
    short.hf.config.max_position_embeddings = 5
    with torch.no_grad(), pytest.raises(InputError, match="do not fit the 5 positions"):
        prompts.sample(ability, short, 4, 0)


def test_circuits_of_an_ability_with_halves_are_judged_on_other_words_than_they_are_found_with():
    written, miniature = ie.load_ability("ioi"), ie.load_ability("indirect_object")
    assert [split_of(written, first) for first in (0, DISCOVERY, EVALUATION)] == ["", "discovery", "evaluation"]
    assert [split_of(miniature, first) for first in (DISCOVERY, EVALUATION)] == ["", ""]
    prompts, model = Prompts(), speaker_of(BUILT[0])
    found, judged = (
        prompts.sample(written, model, 8, first, split_of(written, first)) for first in (DISCOVERY, EVALUATION)
    )
    assert not {*found.variables["receiver"].tolist()} & {*judged.variables["receiver"].tolist()}
    assert prompts.sample(written, model, 8, DISCOVERY).fingerprint != found.fingerprint
