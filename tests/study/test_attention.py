"""`ie.attention` runs models one by one and shows them together, special tokens included."""

from collections.abc import Iterator

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import random_pairs, small_model

TEXT = "Mary met John"


@pytest.fixture(scope="module")
def small() -> HookedModel:
    return ie.load_family("miniature").load("14k")


@pytest.fixture(scope="module")
def large() -> HookedModel:
    return ie.load_family("miniature").load("25k")


def test_a_text_is_shown_with_the_token_that_stands_first(small: HookedModel):
    view = ie.attention(small, TEXT)
    assert view.frames[0].tokens == ("<bos>", "Mary", "met", "John")
    assert "Mary" in view.to_html()
    table = view.to_frame()
    assert set(table["size"]) == {"14k"}
    np.testing.assert_allclose(table.groupby(["head", "query"])["weight"].sum(), 1, atol=1e-5)
    bare = ie.attention(small, small.encode(TEXT))
    assert bare.frames[0].tokens == ("Mary", "met", "John")


def test_one_model_at_a_time_is_asked_for(small: HookedModel, large: HookedModel):
    asked = []

    def models() -> Iterator[HookedModel]:
        for model in (small, large):
            asked.append(model)
            yield model

    view = ie.attention(models(), TEXT, heads=["a0.h1"])
    assert [frame.size for frame in view.frames] == ["14k", "25k"]
    assert asked == [small, large]
    assert view.beside is None


def test_another_model_stands_beside_the_first(small: HookedModel, large: HookedModel):
    view = ie.attention(small, TEXT, other=large)
    assert view.beside == 1
    alone = ie.attention(large, TEXT)
    np.testing.assert_array_equal(view.frames[1].weights, alone.frames[0].weights)


def test_a_head_that_only_the_larger_model_has_is_shown_there(small: HookedModel, large: HookedModel):
    there = set(large.graph.writer_names) - set(small.graph.writer_names)
    only = min(name for name in there if name.startswith("a"))
    view = ie.attention([small, large], TEXT, heads=["a0.h0", only])
    assert [frame.heads for frame in view.frames] == [("a0.h0",), ("a0.h0", only)]
    with pytest.raises(UnknownNameError, match=r"a9\.h0"):
        ie.attention([small, large], TEXT, heads=["a0.h0", "a9.h0"])
    with pytest.raises(UnknownNameError, match=only.replace(".", r"\.")):
        ie.attention([small, large], TEXT, heads=[only])


def test_roles_of_a_model_stand_beside_its_heads(small: HookedModel):
    roles = ie.role_table(small, roles=["previous_token"])
    view = ie.attention(small, TEXT, roles=roles)
    score = roles.set_index("node")["score"]["a0.h0"]
    assert view.roles["a0.h0"] == {"previous_token": pytest.approx(score, nan_ok=True)}


def test_ids_for_models_with_other_vocabularies_are_refused(small: HookedModel):
    other = small_model("gpt2")
    with pytest.raises(InputError, match="give the prompt as text"):
        ie.attention([small, other], [1, 2, 3])
    assert len(ie.attention([small, small], random_pairs(1, length=5)).frames) == 2


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [([], {}, "at least one model"), (["x"], {}, "model"), (None, {"renderer": "x"}, "renderer")],
)
def test_what_is_no_model_is_refused_in_one_line(given, options: dict, message: str, small: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match=message) as refused:
        ie.attention(small if given is None else given, TEXT, **options)
    assert "\n" not in str(refused.value)


def test_too_much_for_a_page_is_refused(small: HookedModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp_emerge.study.attention.MOST_BYTES", 10)
    with pytest.raises(InputError, match="name fewer heads"):
        ie.attention(small, TEXT)
