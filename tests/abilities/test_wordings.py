"""The mechanism behind abilities that are wordings with slots, on small ones made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from interp_emerge.abilities._wordings import Corruption, Scene, Setting, Wordings
from interp_emerge.abilities._words import halves, of_split, single, words
from interp_emerge.abilities.base import Choice
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.core.source import Source
from tests.abilities.tokenizers import BUILT, speaker_of

ANIMALS = ("dog", "cat", "horse", "bird")


def fill(setting: Setting) -> Scene:
    animal, other = setting.several(ANIMALS, 2)
    corrupt = {"other": {"animal": other}, "same": {"animal": animal}, "longer": {"animal": f"old {animal}"}}
    return Scene(
        clean={"animal": animal, "again": animal},
        corrupt=corrupt[setting.corruption],
        answer=f" {animal}",
        foil=f" {other}",
        variables={"animal": ANIMALS.index(animal)},
    )


SAYING = Wordings(
    name="saying",
    summary="name the animal again",
    source=Source("Nobody", 2026, "https://example.org"),
    chance=0.25,
    templates={"see": "I see the {animal}, and the", "twice": "The {animal} is a {again}, and a"},
    corruptions={name: Corruption(about=name, changes=("animal",)) for name in ("other", "same", "longer")},
    positions={"animal": "animal"},
    variables=("animal",),
    fill=fill,
    distractors=("The {again} is lost. ",),
    openings=("It is late. ",),
)
ABILITY = SAYING.ability()


@pytest.fixture
def knows() -> HookedModel:
    return speaker_of(BUILT[0])


def text(model: HookedModel, ids: list[int]) -> str:
    return model.lexicon.tokenizer.decode(ids)


def test_slots_are_filled_positions_found_and_wordings_take_turns(knows: HookedModel):
    pairs = ABILITY.sample(knows, 8)
    assert pairs.templates == ("see", "twice") * 4
    for row in range(8):
        pair = pairs[row]
        animal = ANIMALS[int(pair.variables["animal"])]
        assert text(knows, [int(pair.clean[0, pair.positions["animal"]])]) == f" {animal}"
        assert text(knows, pair.answer.tolist()) == f" {animal}"
        written = text(knows, pair.clean[0].tolist())
        assert written == (f"I see the {animal}, and the" if row % 2 == 0 else f"The {animal} is a {animal}, and a")


def test_only_the_slots_that_the_corruption_names_change(knows: HookedModel):
    pairs = ABILITY.sample(knows, 8)
    for _, group in pairs.by_length():
        differ = group.clean != group.corrupt
        assert (differ.sum(1) == 1).all()
        assert (differ.int().argmax(1) == group.positions["animal"]).all()


def test_a_corruption_that_changes_another_slot_is_our_own_mistake(knows: HookedModel):
    wrong = replace(SAYING, corruptions={"other": Corruption(about="", changes=("again",))})
    with pytest.raises(AssertionError, match="'other' of saying changes"):
        wrong.ability().sample(knows, 1)


@pytest.mark.parametrize(("corruption", "why"), [("same", "prompt are the same"), ("longer", "different numbers of")])
def test_scenes_that_cannot_be_compared_are_refused_with_the_reason(knows: HookedModel, corruption: str, why: str):
    with pytest.raises(InputError, match=why):
        ABILITY.sample(knows, 1, corruption=corruption)


def test_an_answer_of_two_tokens_is_refused(knows: HookedModel):
    long = replace(SAYING, fill=lambda setting: replace(fill(setting), answer=" dog and"))
    with pytest.raises(
        InputError, match="' dog and' is not one token after the prompt; it needs the letters of English"
    ):
        long.ability().sample(knows, 1)


def test_of_several_answers_those_of_one_token_stay(knows: HookedModel):
    several = replace(
        SAYING, fill=lambda setting: replace(fill(setting), answer=[" time day", " time", " day"], foil=" way")
    )
    assert several.ability().sample(knows, 1).answers.shape == (1, 2)


def test_a_token_that_would_be_answer_and_foil_is_refused(knows: HookedModel):
    both = replace(SAYING, fill=lambda setting: replace(fill(setting), answer=[" time", " day"], foil=[" day", " way"]))
    with pytest.raises(InputError, match="an answer and a foil begin with the same token"):
        both.ability().sample(knows, 1)


def test_a_wording_that_the_tokenizer_cannot_express_is_left_out_unless_it_was_asked_for(knows: HookedModel):
    strange = replace(SAYING, templates={**SAYING.templates, "strange": "Ŵ {animal}, Ŵ"}).ability()
    assert {*strange.sample(knows, 6).templates} == {"see", "twice"}
    with pytest.raises(InputError, match=r"cannot express 'saying' \(strange\).*no token for a part"):
        strange.sample(knows, 6, templates=["see", "strange"])


def test_words_that_have_to_be_one_token_are_counted_in_the_split(speaker: HookedModel):
    few = replace(SAYING, single={"people.names": 21}).ability()
    with pytest.raises(InputError, match=r"needs at least 21 of the words people\.names as single tokens"):
        few.sample(speaker, 1)
    with pytest.raises(InputError, match="in the evaluation half as single tokens"):
        few.sample(speaker, 1, split="evaluation")
    assert few.requirements == f"21 of {len(words('people.names'))} words of people.names as single tokens"


def test_fronts_may_hold_slots_and_shift_the_positions(knows: HookedModel):
    plain, late, lost = (ABILITY.sample(knows, 4, variation=name) for name in ("", "shifted position", "distractor"))
    assert (late.positions["animal"] == plain.positions["animal"] + 4).all()
    for row in range(4):
        animal = ANIMALS[int(plain.variables["animal"][row])]
        assert text(knows, lost[row].clean[0].tolist()).startswith(f"The {animal} is lost. ")


def test_halves_are_disjoint_complete_and_do_not_depend_on_the_tokenizer():
    names = words("people.names")
    discovery, evaluation = halves(names)
    assert {*discovery} | {*evaluation} == {*names} and not {*discovery} & {*evaluation}
    assert abs(len(discovery) - len(evaluation)) <= 1
    assert of_split(names, "discovery") == discovery and of_split(names, "") == [*names]


def test_each_list_of_single_tokens_holds_only_those(speaker: HookedModel):
    found = single(speaker, words("people.names"))
    assert found and all(speaker.lexicon.single_token(name) is not None for name in found)
    assert "Fatima" not in single(speaker, words("people.other_names"))


def test_entries_drawn_freely_belong_to_exactly_one_split(knows: HookedModel):
    of = {
        split: Setting(knows, np.random.default_rng(0), Choice(corruption="other", split=split), "see", {})
        for split in ("discovery", "evaluation")
    }
    for number in range(40):
        assert sum(setting.in_split((number, 3)) for setting in of.values()) == 1
