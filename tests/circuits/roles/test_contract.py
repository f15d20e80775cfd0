"""What holds for every role on the shelf."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits import roles
from interp_emerge.circuits.roles import Role, shelf
from interp_emerge.circuits.roles.base import RoleTask
from interp_emerge.circuits.roles.table import ROLES, measure, role_scores, roles_named
from interp_emerge.core.model import HookedModel
from interp_emerge.families.hooking import untrained
from tests.models.small_models import HEADS, LAYERS, small_model, telling_pairs

SIGNS = {"negative_name_mover": -1, "copy_suppression": None}
"""Expected signs of the effects of roles that do not carry the answer."""
GIVEN: dict[str, Any] = {"orders": [[5, 6, 7, 8, 9, 10]], "name_movers": ["a2.h1"]}
NEW = '''
"""A role that the first head of every layer plays and no other head."""

import numpy as np

from interp_emerge.circuits.roles import shelf
from interp_emerge.circuits.roles.base import Role
from interp_emerge.core.source import Source


def score(task):
    indices = [head.index for head in task.model.graph.nodes(["head"])]
    return np.array([indices, indices]) == 0.0


shelf.add(
    Role(
        name="first_of_its_layer",
        summary="is the first head of its layer",
        source=Source("Nobody", 2020, "https://example.org"),
        unit="none",
        score=score,
        expected_sign=-1,
    )
)
'''


@pytest.fixture(params=shelf.names())
def role(request: pytest.FixtureRequest) -> Role:
    return shelf[request.param]


@pytest.fixture(scope="module")
def model() -> HookedModel:
    """An untrained model, whose weights have another seed than those of the baselines."""
    return untrained(small_model("gpt2"), 1000)


@pytest.fixture(scope="module")
def pairs(model: HookedModel) -> ie.PromptPairs:
    return telling_pairs(model)


@pytest.fixture(scope="module")
def table(model: HookedModel, pairs: ie.PromptPairs) -> pd.DataFrame:
    return ie.role_table(model, pairs=pairs, **GIVEN)


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a role whose file is in another folder."""
    name = "first_of_its_layer"
    (tmp_path / f"{name}.py").write_text(NEW)
    monkeypatch.setattr(roles, "__path__", [*roles.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"{roles.__name__}.{name}", None)
    shelf._items.pop(name, None)


def test_it_has_the_name_of_its_file_and_a_summary_unit_and_source(role: Role):
    assert shelf[role.name] is role
    assert role.summary and "\n" not in role.summary
    assert role.unit and "\n" not in role.unit
    assert role.source.authors and role.source.year >= 2020 and role.source.url.startswith("https://")
    assert role.expected_sign == SIGNS.get(role.name, 1)


def test_it_may_only_aim_at_a_role_that_aims_at_none(role: Role):
    assert not role.aims_at or shelf[role.aims_at].aims_at == ""


def test_it_scores_every_head_on_every_sample_reproducibly(role: Role, model: HookedModel, pairs: ie.PromptPairs):
    task = RoleTask(model=model, pairs=pairs, orders=GIVEN["orders"], heads={"name_mover": ["a2.h1"]})
    one, other = (measure(task, {role.name: role})[role.name] for _ in range(2))
    assert one.ndim == 2 and one.shape[1] == LAYERS * HEADS and len(one) >= 1
    assert one.dtype == np.float64
    defined = np.isfinite(one).all(0)
    assert defined.all() or (defined.any() and role.no_score)
    np.testing.assert_array_equal(one, other)


def test_its_scores_are_the_same_alone_and_among_all_roles(
    role: Role, model: HookedModel, pairs: ie.PromptPairs, table: pd.DataFrame
):
    task = RoleTask(model=model, pairs=pairs, orders=GIVEN["orders"], heads={"name_mover": ["a2.h1"]})
    alone = measure(task, {role.name: role})[role.name].mean(0)
    np.testing.assert_array_equal(alone, table.loc[table["role"] == role.name, "score"].to_numpy(dtype=float))


def test_heads_of_an_untrained_model_rarely_exceed_the_baseline(role: Role, table: pd.DataFrame):
    rows = table[(table["role"] == role.name) & table["score"].notna()]
    assert len(rows) >= HEADS
    assert not rows["clears_baseline"].any()
    assert not rows["plays"].any()


def test_what_it_requires_has_an_aspect_of_its_own_and_is_scored_for_every_head(
    role: Role, model: HookedModel, pairs: ie.PromptPairs
):
    aspects = [one.aspect for one in role.requirements]
    assert len({*aspects}) == len(aspects)
    chosen = pairs[(pairs.clean[:, 2] != pairs.clean[:, 3]).nonzero()[:, 0]]
    holding = replace(chosen, answer=chosen.clean[:, 2], foil=chosen.clean[:, 3])
    task = RoleTask(model=model, pairs=holding, orders=GIVEN["orders"], heads={"name_mover": ["a2.h1"]})
    for one in role.requirements:
        assert one.why_not(task) == ""
        assert measure(task, {one.says: one})[one.says].shape[1] == LAYERS * HEADS


def test_inputs_that_it_lacks_are_a_reason_why_it_is_undefined(role: Role, model: HookedModel):
    reason = role.why_not(RoleTask(model=model, orders=[]))
    assert (reason != "") == (role.needs in ("pairs", "orders"))
    assert "\n" not in reason


def test_the_roles_of_a_study_share_one_recording():
    assert len({shelf[name].reads for name in ROLES}) == 1
    scores = role_scores(small_model("gpt2"))
    assert [*scores] == [*ROLES]


def test_a_role_in_a_file_of_its_own_is_in_the_table_and_can_be_a_label(
    new: str, model: HookedModel, pairs: ie.PromptPairs
):
    assert new in shelf.names()
    assert [role.name for role in roles_named(None)] == shelf.names()
    found = ie.role_table(model, pairs=pairs, **GIVEN)
    assert [*found["role"].unique()] == shelf.names()
    rows = found[found["role"] == new]
    assert [*rows["node"][rows["score"] == 1]] == [f"a{layer}.h0" for layer in range(LAYERS)]
    circuit = ie.Circuit.from_edges(model, [("embed", "a0.h0.q"), ("a0.h0", "logits")])
    labels = ie.circuits.roles.label_heads(ie.Runs(model, pairs), circuit, table=found)
    assert {*labels["role"]} == {*shelf.names()}
