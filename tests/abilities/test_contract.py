"""What holds for every ability on the shelf."""

import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.abilities.tokenizers import BUILT, speaker_of

PAIRS = 24
KEPT: dict[str, PromptPairs] = {}


@pytest.fixture(params=shelf.names())
def ability(request: pytest.FixtureRequest) -> Ability:
    return shelf[request.param]


@pytest.fixture
def model(ability: Ability, speaker: HookedModel) -> HookedModel:
    """A model whose tokenizer can express the ability: that of the miniature language, or one that knows every word."""
    return speaker if ability.language in ("miniature", "") else speaker_of(BUILT[0])


@pytest.fixture
def pairs(ability: Ability, model: HookedModel) -> PromptPairs:
    if ability.name not in KEPT:
        KEPT[ability.name] = ability.sample(model, n=PAIRS, seed=0)
    return KEPT[ability.name]


def test_it_carries_the_name_of_its_file_and_says_what_it_is(ability: Ability):
    assert ie.load_ability(ability.name) is ability
    assert ability.summary and "\n" not in ability.summary


def test_its_source_is_given(ability: Ability):
    assert ability.source.authors
    assert ability.source.url.startswith("https://")
    assert 1900 < ability.source.year < 2100


def test_a_perfect_model_beats_a_guess(ability: Ability):
    assert 0 < ability.chance < ability.ceiling <= 1


def test_as_many_pairs_come_as_were_asked_for(ability: Ability, model: HookedModel):
    assert [len(ability.sample(model, n=n)) for n in (1, 7)] == [1, 7]
    with pytest.raises(InputError, match="at least 1"):
        ability.sample(model, n=0)


def test_more_pairs_than_the_context_has_positions_are_drawn(ability: Ability, model: HookedModel):
    n = (model.n_context or 0) + 1
    assert n > 1 and len(ability.sample(model, n=n, seed=0)) == n


def test_the_same_seed_gives_the_same_pairs(ability: Ability, model: HookedModel, pairs: PromptPairs):
    again = ability.sample(model, n=PAIRS, seed=0)
    assert again.fingerprint == pairs.fingerprint
    assert again.templates == pairs.templates


def test_another_seed_gives_other_pairs(ability: Ability, model: HookedModel, pairs: PromptPairs):
    assert ability.sample(model, n=PAIRS, seed=1).fingerprint != pairs.fingerprint


def test_clean_and_corrupt_are_of_one_length_and_differ_in_every_pair(pairs: PromptPairs):
    assert sum(len(group) for _, group in pairs.by_length()) == PAIRS
    for _, group in pairs.by_length():
        assert group.clean.shape == group.corrupt.shape
        assert (group.clean != group.corrupt).any(1).all()


def test_answers_and_foils_differ_and_are_tokens_of_the_model(pairs: PromptPairs, model: HookedModel):
    assert not (pairs.answers[:, :, None] == pairs.foils[:, None].where(pairs.foils[:, None] >= 0, -2)).any()
    given = torch.cat([pairs.answers.flatten(), pairs.foils.flatten()])
    assert torch.isin(given[given >= 0], torch.tensor(model.ordinary_ids)).all()


def test_every_prompt_begins_with_the_model_s_first_tokens_and_only_there(pairs: PromptPairs, model: HookedModel):
    bos = torch.tensor(model.bos, dtype=torch.long)
    for _, group in pairs.by_length():
        for prompts in (group.clean, group.corrupt):
            assert (prompts[:, : len(bos)] == bos).all()
            assert not torch.isin(prompts[:, len(bos) :], bos).any()


def test_positions_are_named_and_inside_the_prompt(pairs: PromptPairs):
    assert (pairs.positions["last"] == pairs.lengths - 1).all()
    for name, places in pairs.positions.items():
        assert name.strip() == name != ""
        assert places.shape == (PAIRS,)
        assert ((places >= 0) & (places < pairs.lengths)).all()


def test_variables_are_named_and_vary(pairs: PromptPairs):
    assert pairs.variables
    for name, values in pairs.variables.items():
        assert name.strip() == name != ""
        assert values.shape == (PAIRS,)
        assert len(values.unique()) > 1, name


def test_every_pair_names_its_template(ability: Ability, pairs: PromptPairs):
    assert len(pairs.templates) == PAIRS
    assert {*pairs.templates} <= {*ability.templates}


def test_what_the_shelf_lists_is_what_the_pairs_hold(ability: Ability, pairs: PromptPairs):
    assert {*pairs.positions} == {*ability.positions}
    assert {*pairs.variables} == {*ability.variables}
    assert ability.corruptions and all(ability.corruptions.values())
    assert ability.requirements and "\n" not in ability.requirements


def test_the_first_corruption_is_the_default(ability: Ability, model: HookedModel, pairs: PromptPairs):
    named = ability.sample(model, n=PAIRS, seed=0, corruption=next(iter(ability.corruptions)))
    assert named.fingerprint == pairs.fingerprint


@pytest.mark.parametrize("option", ["corruption", "templates", "variation"])
def test_an_option_that_it_lacks_is_refused(ability: Ability, model: HookedModel, option: str):
    with pytest.raises(UnknownNameError, match=f"{option.removesuffix('s')} of {ability.name} 'no such'"):
        ability.sample(model, 4, **{option: ["no such"] if option == "templates" else "no such"})  # pyright: ignore[reportArgumentType]


def test_an_ability_without_choices_refuses_a_split(ability: Ability, model: HookedModel):
    if ability.chosen:
        assert len(ability.sample(model, 4, split="discovery")) == 4
    else:
        with pytest.raises(InputError, match="leave out split, and use different seeds"):
            ability.sample(model, 4, split="discovery")


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
