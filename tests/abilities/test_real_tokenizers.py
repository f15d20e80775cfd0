"""What holds for every ability in English and code, with the tokenizers of published models and two built here."""

from functools import cache
from itertools import combinations
from typing import Any

import pytest
import torch

from interp_emerge.abilities import shelf
from interp_emerge.abilities.base import DISTRACTOR, SHIFTED, Ability
from interp_emerge.abilities.pairs import PromptPairs
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.abilities.tokenizers import BUILT, PUBLISHED, speaker_of

PAIRS = 12
WRITTEN = [name for name in shelf.names() if shelf[name].chosen]
TOKENIZERS = (*BUILT, *PUBLISHED)
each_ability = pytest.mark.parametrize("name", WRITTEN)
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS)


@cache
def drawn(name: str, tokenizer: str, **options: Any) -> PromptPairs:
    return shelf[name].sample(speaker_of(tokenizer), PAIRS, **options)


def prompts(pairs: PromptPairs) -> set[tuple[int, ...]]:
    """Every clean and every corrupted prompt."""
    return {tuple(ids[row, : pairs.lengths[row]].tolist()) for ids in pairs._filled for row in range(len(pairs))}


def clean(pairs: PromptPairs) -> list[tuple[int, ...]]:
    return [tuple(pairs._filled[0][row, : pairs.lengths[row]].tolist()) for row in range(len(pairs))]


@each_tokenizer
@each_ability
def test_the_tokenizer_expresses_most_of_its_wordings(name: str, tokenizer: str):
    pairs = shelf[name].sample(speaker_of(tokenizer), len(shelf[name].templates))
    assert 2 * len({*pairs.templates}) > len(shelf[name].templates)


@each_tokenizer
@each_ability
def test_answers_are_not_foils_and_positions_are_inside(name: str, tokenizer: str):
    pairs = drawn(name, tokenizer)
    for row in range(PAIRS):
        answers, foils = ({*ids[row].tolist()} - {-1} for ids in (pairs.answers, pairs.foils))
        assert answers and foils and not answers & foils
    for places in pairs.positions.values():
        assert ((places >= 0) & (places < pairs.lengths)).all()
    assert {*pairs.positions} == {*shelf[name].positions}
    assert 0 < shelf[name].chance < 1


@each_tokenizer
@each_ability
def test_the_two_splits_share_no_prompt(name: str, tokenizer: str):
    for corruption in shelf[name].corruptions:
        halves = [drawn(name, tokenizer, corruption=corruption, split=split) for split in ("discovery", "evaluation")]
        assert not prompts(halves[0]) & prompts(halves[1]), corruption


@each_tokenizer
@each_ability
def test_each_corruption_changes_the_prompt_in_its_own_way(name: str, tokenizer: str):
    found = {corruption: drawn(name, tokenizer, corruption=corruption) for corruption in shelf[name].corruptions}
    assert len(found) >= 2
    for one, other in combinations(found.values(), 2):
        assert one.fingerprint != other.fingerprint
        alike = sum(a == b for a, b in zip(clean(one), clean(other), strict=True))
        assert 3 * alike > PAIRS or name == "arithmetic", "the clean prompts are the same, except where drawn again"


@each_tokenizer
@each_ability
def test_each_variation_keeps_the_answers_of_most_pairs_that_it_only_moves(name: str, tokenizer: str):
    ability, plain = shelf[name], drawn(name, tokenizer)
    for variation in ability.variations:
        varied = drawn(name, tokenizer, variation=variation)
        assert not {*clean(plain)} & {*clean(varied)}, variation
        if variation in (SHIFTED, DISTRACTOR):
            same = [varied.lengths[row] > plain.lengths[row] for row in range(PAIRS)]
            assert 2 * sum(map(bool, same)) > PAIRS, variation


@each_ability
def test_a_sentence_in_front_leaves_the_rest_of_the_prompt_as_it_was(name: str):
    decode = speaker_of(BUILT[0]).lexicon.tokenizer.decode
    plain = [decode(list(ids)) for ids in clean(drawn(name, BUILT[0]))]
    for variation in {SHIFTED, DISTRACTOR} & {*shelf[name].variations}:
        moved = [decode(list(ids)) for ids in clean(drawn(name, BUILT[0], variation=variation))]
        assert sum(after.endswith(before) for before, after in zip(plain, moved, strict=True)) > PAIRS / 2


@each_ability
def test_templates_that_are_asked_for_are_the_ones_that_come(name: str):
    ability, model = shelf[name], speaker_of(BUILT[0])
    last = [*ability.templates][-1]
    assert {*ability.sample(model, 6, templates=[last]).templates} == {last}
    for paraphrase in ability.paraphrases:
        assert {*ability.sample(model, 3, variation="paraphrase", templates=[paraphrase]).templates} == {paraphrase}


@each_ability
def test_a_tokenizer_that_lacks_the_words_is_refused_with_what_is_missing(name: str, speaker: HookedModel):
    ability: Ability = shelf[name]
    with pytest.raises(InputError) as refused:
        ability.sample(speaker, 4, templates=[next(iter(ability.templates))])
    said = str(refused.value)
    assert name in said and "tokenizer of memory/GPTNeoXForCausalLM" in said
    assert "as single tokens" in said or ability.requirements in said


@each_ability
def test_variables_vary_and_are_whole_numbers(name: str):
    for variable, values in drawn(name, BUILT[0]).variables.items():
        assert values.dtype == torch.long, variable
        assert len(values.unique()) > 1, variable
