"""What holds for every ability on the shelf."""

import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel

PAIRS = 24


@pytest.fixture(params=shelf.names())
def ability(request: pytest.FixtureRequest) -> Ability:
    return shelf[request.param]


@pytest.fixture
def pairs(ability: Ability, speaker: HookedModel) -> PromptPairs:
    return ability.sample(speaker, n=PAIRS, seed=0)


def test_it_carries_the_name_of_its_file_and_says_what_it_is(ability: Ability):
    assert ie.load_ability(ability.name) is ability
    assert ability.summary and "\n" not in ability.summary


def test_its_source_is_given(ability: Ability):
    assert ability.source.authors
    assert ability.source.url.startswith("https://")
    assert 1900 < ability.source.year < 2100


def test_a_perfect_model_beats_a_guess(ability: Ability):
    assert 0 < ability.chance < ability.ceiling <= 1


def test_as_many_pairs_come_as_were_asked_for(ability: Ability, speaker: HookedModel):
    assert [len(ability.sample(speaker, n=n)) for n in (1, 7)] == [1, 7]
    with pytest.raises(InputError, match="at least 1"):
        ability.sample(speaker, n=0)


def test_more_pairs_than_the_context_has_positions_are_drawn(ability: Ability, speaker: HookedModel):
    n = (speaker.n_context or 0) + 1
    assert n > 1 and len(ability.sample(speaker, n=n, seed=0)) == n


def test_the_same_seed_gives_the_same_pairs(ability: Ability, speaker: HookedModel, pairs: PromptPairs):
    again = ability.sample(speaker, n=PAIRS, seed=0)
    assert again.fingerprint == pairs.fingerprint
    assert again.templates == pairs.templates


def test_another_seed_gives_other_pairs(ability: Ability, speaker: HookedModel, pairs: PromptPairs):
    assert ability.sample(speaker, n=PAIRS, seed=1).fingerprint != pairs.fingerprint


def test_clean_and_corrupt_are_of_one_length_and_differ_in_every_pair(pairs: PromptPairs):
    assert pairs.clean.shape == pairs.corrupt.shape == (PAIRS, pairs.length)
    assert (pairs.clean != pairs.corrupt).any(1).all()


def test_answer_and_foil_differ_and_are_tokens_of_the_model(pairs: PromptPairs, speaker: HookedModel):
    assert (pairs.answer != pairs.foil).all()
    ordinary = torch.tensor(speaker.ordinary_ids)
    assert torch.isin(torch.cat([pairs.answer, pairs.foil]), ordinary).all()


def test_every_prompt_begins_with_the_beginning_of_text_and_only_there(pairs: PromptPairs, speaker: HookedModel):
    bos = torch.tensor(speaker.bos)
    for prompts in (pairs.clean, pairs.corrupt):
        assert (prompts[:, 0] == bos).all()
        assert not torch.isin(prompts[:, 1:], bos).any()


def test_positions_are_named_and_inside_the_prompt(pairs: PromptPairs):
    assert (pairs.positions["last"] == pairs.length - 1).all()
    for name, places in pairs.positions.items():
        assert name.strip() == name != ""
        assert places.shape == (PAIRS,)
        assert ((places >= 0) & (places < pairs.length)).all()


def test_variables_are_named_and_vary(pairs: PromptPairs):
    assert pairs.variables
    for name, values in pairs.variables.items():
        assert name.strip() == name != ""
        assert values.shape == (PAIRS,)
        assert len(values.unique()) > 1, name


def test_every_pair_names_its_template(pairs: PromptPairs):
    assert len(pairs.templates) == PAIRS
    assert all(pairs.templates)


def test_without_a_tokenizer_it_draws_token_ids_or_an_error_names_what_is_missing(ability: Ability, bare: HookedModel):
    drawn = sample_or_refusal(ability, bare)
    if isinstance(drawn, str):
        assert "token" in drawn
    else:
        assert (drawn.clean < bare.d_vocab).all()


def sample_or_refusal(ability: Ability, model: HookedModel) -> PromptPairs | str:
    try:
        return ability.sample(model, n=4)
    except InputError as refusal:
        return str(refusal)
