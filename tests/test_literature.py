"""The comparisons with papers: claims, their answers, and the page that is made of both."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.families._disk.hub import HubFamily
from tests.families.tiny import cache_revision

FOLDER = Path(__file__).parents[1] / "analyses" / "literature"
MODULES = {path.stem for path in FOLDER.glob("*.py")}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules of the folder by name; afterwards nobody else can import them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    loaded: dict[str, ModuleType] = {name: import_module(name) for name in sorted(MODULES)}
    yield SimpleNamespace(**loaded)
    for name in MODULES:
        sys.modules.pop(name, None)


def asked(scripts: SimpleNamespace, family: str, sizes: list[str], steps: list[int]) -> Any:
    about = {"at_most": 12, "indirect_object": "indirect_object", "text": ""}
    return scripts.comparing.Asked(family=ie.load_family(family), sizes=sizes, steps=steps, **about)


def test_the_page_is_made_of_the_claims_and_the_measurements(scripts: SimpleNamespace) -> None:
    assert scripts.page.PAGE.read_text() == scripts.page.page(), "write it anew: python analyses/literature/page.py"


def test_every_claim_has_a_number_a_place_and_one_measurement(scripts: SimpleNamespace) -> None:
    claims, measured = pd.read_csv(scripts.page.PUBLISHED), pd.read_csv(scripts.page.MEASURED)
    assert not claims.isna().any(axis=None)
    keys = [sorted(table[["paper", "claim"]].itertuples(index=False, name=None)) for table in (claims, measured)]
    assert keys[0] == keys[1]
    assert set(measured["verdict"]) <= {*scripts.comparing.VERDICTS.values()}
    assert set(claims["paper"]) == {*scripts.comparing.PAPERS} == {*scripts.page.PAPERS} <= MODULES


def test_an_answer_stands_beside_its_claim_only(scripts: SimpleNamespace) -> None:
    answer = scripts.comparing.Answer
    table = scripts.comparing.beside("xu_2026", [answer("order", "ours", None, "few"), answer("floor", "none", True)])
    assert table["verdict"].tolist() == ["cannot be told here", "agrees"]
    assert table["number"].str.startswith(("OLMo 1B", "0 heads")).all()
    with pytest.raises(KeyError):
        scripts.comparing.beside("xu_2026", [answer("window", "a claim of another paper", True)])


def test_the_loss_has_a_bump_only_where_it_falls_faster_than_before(scripts: SimpleNamespace) -> None:
    passages = np.linspace(-0.1, 0.1, 40)
    steps = [0, 100, 200, 300, 400]
    for values, window, holds in (
        ([4.0, 3.0, 2.5, 2.2, 2.0], (200, 300), False),
        ([4.0, 3.0, 2.8, 2.0, 1.9], (200, 300), True),
        ([4.0, 3.0, 2.8, 2.0, 1.9], (0, 100), False),
    ):
        losses = {step: value + passages for step, value in zip(steps, values, strict=True)}
        found = scripts.olsson_2022.bump([{"run": "a", "window": window, "losses": losses}])
        assert found.holds is holds
        assert ("200 to 300" in found.ours) == (values[2] == 2.8)


def test_the_order_of_heads_and_sinks_needs_both_and_certainty(scripts: SimpleNamespace) -> None:
    steps, none, many = [0, 10, 20], np.zeros((3, 100)), np.ones((3, 100))
    early, late = (np.array(one)[None].repeat(100, 0) for one in ([0, 4, 4], [0, 0, 4]))
    for counts, shares, holds in (
        (early, late / 4, True),
        (late, early / 4, False),
        (late, late / 4, None),
        (early, none.T, None),
        (early, np.where(many.T > 0, late / 4, 0), True),
    ):
        assert scripts.xu_2026.order("a", {"steps": steps, "counts": counts, "shares": shares}).holds is holds


def test_tokens_are_compared_only_where_training_is_long_enough(scripts: SimpleNamespace) -> None:
    at_tokens = scripts.tigges_2024.at_tokens
    assert at_tokens("induction", "a", (1e9, 2.5e9), (2e9, 4e9), 3e11).holds is True
    assert at_tokens("induction", "a", (5e9, 9e9), (2e9, 4e9), 3e11).holds is False
    assert at_tokens("induction", "a", None, (2e9, 4e9), 3e11).holds is False
    short = at_tokens("induction", "a", (1e6, 2e6), (2e9, 4e9), 2e7)
    assert (short.holds, short.why) == (None, "training ends at 2e+07 tokens")


def test_heads_form_alike_within_a_factor_of_four(scripts: SimpleNamespace) -> None:
    alike = scripts.tigges_2024.alike
    assert alike({"a": (1e6, 1.5e6), "b": (2e6, 3e6)}).holds is True
    assert alike({"a": (1e6, 1.5e6), "b": (8e6, 9e6)}).holds is False
    assert alike({"a": (1e6, 2e6), "b": (3e6, 9e6)}).holds is None


def test_the_dip_at_7k_has_the_sign_of_the_source_and_untrained_models_have_none(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts.dip_2026, "UNTRAINED", 5)
    monkeypatch.setattr(scripts.dip_2026, "PROMPTS", 256)
    given = asked(scripts, "miniature", ["7k"], [500, 5000])
    answers, curve = scripts.dip_2026.compare(given)
    holds = {one.claim: one.holds for one in answers}
    assert set(holds) == {*scripts.comparing.published("dip_2026").index}
    assert (holds["untrained"], holds["sign"]) == (True, True)
    assert curve.groupby("step")["value"].min()[500] < 0.5 < curve.groupby("step")["value"].min()[5000]


def test_public_checkpoints_are_compared_by_the_same_command(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untrained models in an imitated cache of the hub: nothing forms, and every claim has its answer."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(HubFamily, "held_out_text", lambda _: [" ".join(["w5 w6 w7 w8 w9 w11 w12"] * 7)] * 5)
    steps = [0, 1000, 143_000]
    for seed, step in enumerate(steps):
        cache_revision(tmp_path, "EleutherAI/pythia-14m", f"step{step}", seed)
    given = asked(scripts, "pythia", ["14m"], steps)
    for paper in ("olsson_2022", "xu_2026"):
        answers, curve = getattr(scripts, paper).compare(given)
        assert {one.claim for one in answers} == {*scripts.comparing.published(paper).index}
        assert curve["step"].tolist() == steps
        assert not any(one.holds for one in answers if one.claim in ("window", "order", "fraction"))
