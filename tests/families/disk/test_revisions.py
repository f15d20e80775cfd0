"""Names of revisions are made from steps and read back, and lists of them are asked for once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.errors import ModelError, UnknownNameError
from interp_emerge.families._disk import revisions
from interp_emerge.families._disk.revisions import Pattern, list_path, read_revisions
from tests.families.fake_hub import FakeHub
from tests.families.tiny import save_checkpoint

OLMO2 = "allenai/OLMo-2-1124-7B"


@pytest.mark.parametrize(
    ("pattern", "name", "step", "tokens"),
    [
        ("step{step}", "step143000", 143_000, None),
        ("step-{step}", "step-240000", 240_000, None),
        ("checkpoint-{step}", "checkpoint-400000", 400_000, None),
        ("stage1-step{step}-tokens{tokens}", "stage1-step101000-tokens424B", 101_000, 424 * 10**9),
        ("step{step}-tokens{tokens}", "step20000-tokens84B", 20_000, 84 * 10**9),
        ("step-{step}-{tokens}T", "step-001000-2BT", 1000, 2 * 10**9),
    ],
)
def test_a_name_is_read_as_published(pattern: str, name: str, step: int, tokens: int | None):
    read = Pattern(pattern).read(name)
    assert read is not None
    assert (read.name, read.step, read.tokens) == (name, step, tokens)


@pytest.mark.parametrize(
    "name", ["main", "step", "stage2-ingredient1-step4000-tokens17B", "xstep5", "step5x", "step-5"]
)
def test_other_names_are_not_steps(name: str):
    assert Pattern("step{step}").read(name) is None
    assert Pattern("stage1-step{step}-tokens{tokens}").read(name) is None


def test_of_two_names_of_one_step_the_first_pattern_has_precedence():
    names = ["step1000-tokens5B", "stage1-step1000-tokens4B", "stage1-step0-tokens0B", "main", "step600-tokens3B"]
    found = read_revisions(names, [Pattern("stage1-step{step}-tokens{tokens}"), Pattern("step{step}-tokens{tokens}")])
    assert {step: one.name for step, one in found.items()} == {
        0: "stage1-step0-tokens0B",
        600: "step600-tokens3B",
        1000: "stage1-step1000-tokens4B",
    }


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("step{stage}", "unknown field {stage}"), ("x{tokens}", "lacks {step}"), ("{step}{step}", "a field twice")],
)
def test_a_pattern_that_cannot_be_read_back_is_refused(pattern: str, message: str):
    with pytest.raises(ModelError, match=message):
        Pattern(pattern)


@pytest.fixture
def olmo(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """OLMo-2's largest repository here, with revisions of two stages; one was published without its stage."""
    directory = save_checkpoint(tmp_path / "olmo", architecture="olmo2 without biases")
    for name in ("main", "step600-tokens3B", "stage1-step2000-tokens9B", "stage2-ingredient1-step1000-tokens5B"):
        hub.add(OLMO2, name, directory)
    return hub


def test_the_hub_lists_irregular_steps_and_is_asked_once_a_day(olmo: FakeHub, monkeypatch: pytest.MonkeyPatch):
    family = ie.load_family("olmo2")
    assert family.steps("7b") == [600, 2000]
    assert [family.tokens("7b", step) for step in family.steps("7b")] == [3 * 10**9, 9 * 10**9]
    assert olmo.listed == [OLMO2]
    content = json.loads(list_path(OLMO2).read_text())
    content["asked"] = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    list_path(OLMO2).write_text(json.dumps(content))
    olmo.add(OLMO2, "stage1-step3000-tokens13B", next(iter(olmo.content.values())))
    assert family.steps("7b") == [600, 2000, 3000]
    assert olmo.listed == [OLMO2, OLMO2]
    list_path(OLMO2).write_text(json.dumps(content))
    monkeypatch.setattr(revisions, "why_offline", lambda: "there is no network")
    assert family.steps("7b") == [600, 2000]


def test_without_a_network_unknown_steps_are_an_error_that_says_so(olmo: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(revisions, "why_offline", lambda: "there is no network")
    with pytest.raises(ModelError, match=f"the revisions of {OLMO2} are not known here: there is no network"):
        ie.load_family("olmo2").steps("7b")


def test_each_revision_is_loaded_under_its_own_name_and_offline_only_these_are_listed(
    olmo: FakeHub, monkeypatch: pytest.MonkeyPatch
):
    family = ie.load_family("olmo2")
    family.load("7b", 600)
    assert olmo.downloaded == [(OLMO2, "step600-tokens3B")]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert family.steps("7b") == [600]
    assert family.load("7b").spec.step == 600
    with pytest.raises(UnknownNameError, match="unknown step of olmo2/7b '2000'"):
        family.spec("7b", 2000)


def test_a_repository_without_such_names_says_what_was_looked_for(hub: FakeHub, tmp_path: Path):
    hub.add("allenai/OLMo-7B-hf", "main", tmp_path)
    with pytest.raises(ModelError, match=r"has no revision named like step\{step\}-tokens\{tokens\}; see https://"):
        ie.load_family("olmo").steps("7b")
