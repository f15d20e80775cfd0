"""Exactly what a result used is cited: nothing more, and what has no published source is said."""

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml

import interp_emerge as ie
from interp_emerge.circuits.testing.examination import PARTS
from interp_emerge.core.errors import InputError
from interp_emerge.study.cite import is_published
from interp_emerge.study.works import TESTS, TITLES
from tests.models.small_models import random_pairs, small_model

ROOT = Path(__file__).parents[2]
OLSSON, HANNA, SYED = (f"https://arxiv.org/abs/{number}" for number in ("2209.11895", "2403.17806", "2310.10348"))
WANG, SHI = "https://arxiv.org/abs/2211.00593", "https://arxiv.org/abs/2410.13032"
SHELVES = (ie.abilities.shelf, ie.families.shelf, ie.patching.shelf, ie.probing.shelf, ie.circuits.roles.shelf)


@pytest.fixture(scope="module")
def model() -> ie.HookedModel:
    return ie.load_family("miniature").load("3k")


@pytest.fixture(scope="module")
def pairs(model: ie.HookedModel) -> ie.PromptPairs:
    return ie.load_ability("induction").sample(model, 4)


def test_scores_cite_their_ability_and_their_method(model: ie.HookedModel, pairs: ie.PromptPairs):
    assert ie.cite(ie.score(model, pairs, method="eap")).urls == [OLSSON, SYED]
    assert ie.cite(ie.score(model, pairs, method="eap_ig", steps=1)).urls == [OLSSON, HANNA]


def test_a_circuit_that_was_joined_cites_what_both_parts_used(model: ie.HookedModel, pairs: ie.PromptPairs):
    one, other = (ie.score(model, pairs, method=method).top(5) for method in ("eap", "eap_ig"))
    assert set(ie.cite(one).urls) == {OLSSON, SYED}
    assert set(ie.cite(one | other).urls) == {OLSSON, SYED, HANNA}
    assert ie.cite(one, other).urls == ie.cite(one | other).urls


def test_an_examination_cites_the_tests_that_it_ran_and_no_others(model: ie.HookedModel, pairs: ie.PromptPairs):
    circuit = ie.score(model, pairs, method="eap").top(5)
    table = pd.DataFrame({"role": ["name_mover", None]})
    found = ie.circuits.testing.Examination(
        circuit=circuit,
        evaluation=ie.evaluate(model, circuit, pairs),
        without=ie.evaluate(model, circuit, pairs),
        prompts="",
        tables={"hypotheses": pd.DataFrame(), "stability": pd.DataFrame(), "roles": table},
    )
    assert ie.cite(found).urls == [OLSSON, SYED, SHI, WANG]


def test_probes_cite_their_method_and_ability(model: ie.HookedModel, pairs: ie.PromptPairs):
    read = ie.lens(model, pairs, method="logit_lens")
    assert ie.cite(read).urls == [OLSSON, ie.probing.shelf["logit_lens"].source.url]


def test_a_study_cites_its_family_abilities_and_method(tmp_path: Path):
    study = ie.Study(family="pythia", ability="induction", beside=("greater_than",), method="eap", out=str(tmp_path))
    greater = ie.abilities.shelf["greater_than"].source.url
    assert ie.cite(study).urls == [ie.families.shelf["pythia"].source.url, OLSSON, greater, SYED]


def test_tables_and_items_are_cited():
    table = pd.DataFrame({"ability": ["induction", "ioi", "ioi"], "method": "eap", "score": 0.1})
    assert ie.cite(table).urls == [OLSSON, WANG, SYED]
    assert ie.cite(ie.load_ability("ioi"), ie.load_family("pythia")).urls[0] == WANG


def test_an_entry_is_bibtex_and_says_what_the_work_was_used_for(model: ie.HookedModel, pairs: ie.PromptPairs):
    text = str(ie.cite(ie.score(model, pairs, method="eap_ig", steps=1)))
    assert text.count("@") == 3 and text.count("{") == text.count("}")
    assert re.search(r"@software\{interp_emerge,\n  author = \{\{interp\\_emerge authors\}\},", text)
    assert "@misc{hanna2024have,\n  author = {Hanna and others},\n  title = {{Have Faith in Faithfulness" in text
    assert "note = {used here as: method eap\\_ig}" in text and "eprint = {2403.17806}" in text


def test_what_is_in_no_work_is_a_comment():
    model = small_model("gpt_neox")
    text = str(ie.cite(ie.score(model, random_pairs(), method="random")))
    family = model.spec.family
    assert f"% family {family}: its source is not recorded; cite it yourself" in text and text.count("@misc") == 1


def test_what_does_not_say_how_it_was_made_is_refused(model: ie.HookedModel, pairs: ie.PromptPairs):
    circuit = ie.score(model, pairs, method="eap").top(5)
    for result in (ie.evaluate(model, circuit, pairs), pd.DataFrame({"x": [1]}), 3):
        with pytest.raises(InputError, match="does not say what it was made with; give what it was made from"):
            ie.cite(result)
    with pytest.raises(InputError, match="nothing to cite"):
        ie.cite()


def test_every_work_has_a_title():
    sources = [item.source for shelf in SHELVES for item in shelf] + [one for many in TESTS.values() for one in many]
    assert {one.url for one in sources if is_published(one)} - {*TITLES} == set()
    assert {*TESTS} <= {*PARTS}


def test_the_file_for_citing_the_package_agrees_with_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == project["version"] and cited["license"] == project["license"]
    assert [one["name"] for one in cited["authors"]] == [one["name"] for one in project["authors"]]
