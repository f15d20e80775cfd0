"""Abilities from files: drawn without replacement, in two halves, under a name that follows the content."""

import logging
import math
import re
from pathlib import Path
from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.abilities.own.checking import check_rows
from interp_emerge.abilities.own.file_ability import FileAbility
from interp_emerge.abilities.prompts import DISCOVERY, EVALUATION, REPEATED
from interp_emerge.core.model import HookedModel
from tests.abilities.own.written import bytes_model, own_file, row, write


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.load_family("miniature").load("7k")


def loaded(path: Path) -> FileAbility:
    ability = ie.load_ability(path)
    assert isinstance(ability, FileAbility)
    return ability


def numbers(pairs: ie.PromptPairs) -> list[int]:
    return pairs.variables["number"].tolist()


def test_a_prompt_is_that_of_its_row(tmp_path: Path, model: HookedModel):
    ability = loaded(own_file(tmp_path, 40, name="giving", source="own"))
    pairs = ability.sample(model, 40)
    assert sorted(numbers(pairs)) == [*range(40)]
    at = numbers(pairs).index(3)
    frame, given = pairs.to_frame(), row(3)
    assert frame["clean"][at].removeprefix("<bos>").replace(" ,", ",").split() == given["clean"].split()
    assert frame["answer"][at].strip() == given["answer"].strip()
    assert pairs.templates[at] == "odd"
    words = model.words(pairs.prompts("clean")[at])
    assert words[int(pairs.positions["giver"][at])].strip() == given["foil"].strip()
    assert pairs.labels["receiver"][int(pairs.variables["receiver"][at])] == given["answer"].strip()
    assert (ability.name, str(ability.source), ability.chance, pairs.ability) == ("giving", "own", 0.5, ability.key)
    assert re.fullmatch("giving@[0-9a-f]{16}", ability.key)


def test_finding_and_judging_share_no_row_whatever_the_seeds(tmp_path: Path, model: HookedModel):
    ability = loaded(own_file(tmp_path))
    halves = [{*numbers(ability.sample(model, 20, start))} for start in (DISCOVERY, EVALUATION)]
    assert sorted(halves[0] | halves[1]) == [*range(40)]
    for seed in (1, 2, 999):
        for start, half in zip((DISCOVERY, EVALUATION), halves, strict=True):
            drawn = numbers(ability.sample(model, 12, start + seed))
            assert len({*drawn}) == 12 and {*drawn} <= half
            assert drawn == numbers(ability.sample(model, 12, start + seed))
    assert {*numbers(ability.sample(model, 20, 5, split="evaluation"))} == halves[1]
    drawn = [numbers(ability.sample(model, 20, seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_both_halves_have_every_template(tmp_path: Path, model: HookedModel):
    ability = loaded(own_file(tmp_path))
    for start in (DISCOVERY, EVALUATION):
        assert sorted(ability.sample(model, 20, start).templates) == ["even"] * 10 + ["odd"] * 10
    assert {*ability.sample(model, 9, templates=["odd"]).templates} == {"odd"}
    with pytest.raises(ie.InterpEmergeError, match="unknown template of mine 'ood'; did you mean 'odd'"):
        ability.sample(model, 2, templates=["ood"])


def test_repeated_sets_have_rows_of_their_own(tmp_path: Path, model: HookedModel):
    ability = loaded(own_file(tmp_path))
    sets = [ability.sample(model, 5, DISCOVERY), *(ability.sample(model, 5, REPEATED + 1000 * at) for at in range(3))]
    assert len({number for one in sets for number in numbers(one)}) == 20
    with pytest.raises(
        ie.InterpEmergeError, match="20 of them for discovery; 5 sets of 5 were asked for, so give more"
    ):
        ability.sample(model, 5, REPEATED + 3000)


def test_the_column_split_decides_and_a_shared_prompt_is_refused(tmp_path: Path, model: HookedModel):
    rows = [row(number, split="discovery" if number < 6 else "evaluation") for number in range(10)]
    ability = loaded(write(tmp_path / "mine.jsonl", rows))
    assert sorted(numbers(ability.sample(model, 6, DISCOVERY))) == [*range(6)]
    with pytest.raises(ie.InterpEmergeError, match="has 10 rows, 4 of them for evaluation; 5 were asked for, and rows"):
        ability.sample(model, 5, EVALUATION)
    leak = loaded(write(tmp_path / "leak.jsonl", [*rows, row(0, split="evaluation")]))
    with pytest.raises(ie.InterpEmergeError, match="line 1: the clean prompt is in discovery and in evaluation"):
        leak.sample(model, 2, DISCOVERY)


def test_rows_with_one_clean_prompt_are_in_one_half(tmp_path: Path, model: HookedModel):
    ability = loaded(
        write(tmp_path / "mine.jsonl", [row(number % 7, **{"variable.number": number}) for number in range(28)])
    )
    halves = [{number % 7 for number in numbers(ability.sample(model, 10, at))} for at in (DISCOVERY, EVALUATION)]
    assert not halves[0] & halves[1]


def test_more_rows_than_there_are_is_an_error(tmp_path: Path, model: HookedModel):
    ability = loaded(own_file(tmp_path))
    with pytest.raises(ie.InterpEmergeError, match=r"has 40 rows; 41 were asked for, .* ask for at most 40"):
        ability.sample(model, 41)
    options: list[dict[str, Any]] = [{"corruption": "abc"}, {"variation": "paraphrase"}]
    for option in options:
        with pytest.raises(ie.InterpEmergeError, match=r"has no (corruption|variation) .*; add rows with it"):
            ability.sample(model, 2, **option)


def test_an_edited_file_has_another_key(tmp_path: Path):
    keys = {loaded(own_file(tmp_path, n)).key for n in (40, 39)}
    assert len({*keys, loaded(own_file(tmp_path, 40)).key}) == 2


def test_chance_is_undefined_unless_given(tmp_path: Path):
    assert math.isnan(ie.load_ability(write(tmp_path / "mine.jsonl", [row(0)])).chance)


def test_rows_that_the_tokenizer_cannot_express_are_counted_and_named(tmp_path: Path, model: HookedModel, caplog: Any):
    longer = row(9)["clean"] + " to"
    odd = [row(7, clean=" When Xerxes met"), row(8, answer=" Xerxes"), row(9, clean=longer)]
    ability = loaded(write(tmp_path / "mine.jsonl", [row(number) for number in range(7)] + odd))
    with caplog.at_level(logging.WARNING):
        assert len(ability.sample(model, 7)) == 7
        ability.sample(model, 5)
    assert [record.message for record in caplog.records] == [
        f"3 rows of 10 in {ability.path} left out: the tokenizer of {model.spec} cannot express them; `interp-emerge "
        "ability check` says why"
    ]
    with pytest.raises(ie.InterpEmergeError, match=r"has 10 rows, of which the tokenizer of .* can express 7 "):
        ability.sample(model, 8)
    checked = check_rows(ability, model, name="mini")
    shares = checked.shares.iloc[0]
    assert (shares["rows"], shares["expressible"], shares["share"]) == (10, 7, pytest.approx(0.7))
    assert shares["discovery"] + shares["evaluation"] == 7
    assert checked.failures["line"].tolist() == [8, 9, 10]
    assert "has no token for a part of ' When Xerxes met'" in checked.failures["why"][0]
    assert "the prompts of the row have 16 and 15 tokens" in checked.failures["why"][2]


def test_a_model_with_a_shorter_context_leaves_out_more_rows(tmp_path: Path):
    long, short = (bytes_model(max_position_embeddings=length) for length in (256, 24))
    assert long.vocabulary == short.vocabulary != "" and short.n_context == 24
    ability = loaded(write(tmp_path / "mine.jsonl", [
        {"clean": text + " Mary", "corrupt": text + " John", "answer": " to", "foil": " at"} for text in ("a", "a" * 40)
    ]))  # fmt: skip
    assert [[*ability.failures(model)] for model in (long, short, long)] == [[], [1], []]


def test_a_model_without_a_tokenizer_cannot_read_it(tmp_path: Path, model: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match=r"mine.jsonl holds text, and .* has no tokenizer"):
        ie.load_ability(own_file(tmp_path)).sample(ie.hook(model.hf), 2)


def test_measuring_and_scoring_take_it(tmp_path: Path, model: HookedModel):
    ability = ie.load_ability(own_file(tmp_path))
    frame = ie.abilities.measure(model, [ability], n=8)
    assert {*frame["ability"]} == {"mine"} and len(frame[frame["metric"] == "accuracy"]) == 8
    scores = ie.score(model, ability.sample(model, 4, DISCOVERY), method="eap")
    assert scores.top(3).origin["ability"] == ability.key


def test_settings_of_a_study_follow_the_file(tmp_path: Path, caplog: Any):
    path = own_file(tmp_path)
    how: dict[str, Any] = {"out": str(tmp_path / "run"), "sizes": ("3k", "7k"), "steps": "last"}
    with caplog.at_level(logging.WARNING):
        study = ie.Study(ability=str(path), **how)
    assert (study.settings.n_measured, study.settings.n_pairs, study.settings.beside) == (40, 20, ())
    assert "has 40 rows, so n_measured is 40 and n_pairs is 20" in caplog.text
    assert ie.Study(ability=str(path), n_pairs=16, **how).settings.n_pairs == 16
    before = study._work().scoring, study._state()
    own_file(tmp_path, 40, summary="another header")
    after = ie.Study(ability=str(path), **how)
    assert before[0]["ability"] != after._work().scoring["ability"] and before[1] != after._state()
    write(path, [row(number) for number in range(40)])
    with pytest.raises(ie.InterpEmergeError, match=r"gives no chance level, .* give chance=\.\.\. \(--chance\)"):
        ie.Study(ability=str(path), **how)
    assert ie.Study(ability=str(path), chance=0.25, **how).ability.chance == 0.25
    with pytest.raises(ie.InterpEmergeError, match="'induction' has the chance level"):
        ie.Study(chance=0.25, **how)
    write(path, [row(number) for number in range(3)])
    with pytest.raises(ie.InterpEmergeError, match="has too few rows for a study"):
        ie.Study(ability=str(path), chance=0.25, **how)
