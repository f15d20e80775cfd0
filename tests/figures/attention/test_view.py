"""A view says what it shows as a table, a picture, a notebook's output and text."""

import base64
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from interp_emerge import figures
from interp_emerge.core.errors import InputError, InterpEmergeError, UnknownNameError
from interp_emerge.figures import ATTENTION, AttentionView
from interp_emerge.figures.attention.still import svg_of
from tests.figures.attention.views import HOSTILE, averaged, family, weights


def one(**more) -> AttentionView:
    return AttentionView(frames=(weights(**more),))


def test_the_table_has_every_weight_of_what_a_head_sees():
    view = family()
    table = view.to_frame()
    assert [*table.columns] == [*ATTENTION.columns]
    n = len(HOSTILE)
    assert len(table) == 3 * (2 + 4) * n * (n + 1) // 2
    rows: Any = table.sample(40, random_state=0).itertuples()
    for row in rows:
        [frame] = [frame for frame in view.frames if (frame.size, frame.step) == (row.size, row.step)]
        head = frame.heads.index(row.head)
        assert row.weight == frame.weights[head, row.query, row.key]
        assert row.uniform == pytest.approx(1 / (row.query + 1))
        assert (row.query_token, row.key_token) == (HOSTILE[row.query], HOSTILE[row.key])
    assert table["ci_low"].isna().all()


def test_the_table_of_a_mean_has_intervals_and_all_cells():
    view = averaged()
    table = view.to_frame(["a0.h1"])
    frame = view.frames[0]
    assert len(table) == 12
    assert frame.low is not None and frame.high is not None
    for name, values in (("weight", frame.weights), ("ci_low", frame.low), ("ci_high", frame.high)):
        np.testing.assert_array_equal(table[name].to_numpy(), values[1].ravel())
    assert set(table["n_pairs"]) == {12}


def test_an_undefined_weight_stays_in_the_table():
    values = weights().weights.copy()
    values[1, 4, 2] = np.nan
    table = AttentionView(frames=(weights(weights=values),)).to_frame("a0.h1")
    assert table[table["weight"].isna()][["query", "key"]].to_numpy().tolist() == [[4, 2]]


def test_a_table_of_unknown_heads_or_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UnknownNameError, match="did you mean"):
        one().to_frame(["a0.h7"])
    monkeypatch.setattr("interp_emerge.figures.attention.table.MOST_ROWS", 10)
    with pytest.raises(InputError, match="name fewer"):
        one().to_frame()


@pytest.mark.parametrize("view", [one(), one(mode="difference"), one(n_heads=20), family(), averaged()], ids=repr)
@pytest.mark.parametrize("ending", [".html", ".png", ".svg", ".pdf"])
def test_a_view_is_saved_by_its_ending(view: AttentionView, ending: str, tmp_path: Path):
    path = view.save(tmp_path / f"view{ending}")
    content = path.read_bytes()
    begins = {".html": b"<!doctype html>", ".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[ending]
    assert content.startswith(begins)
    assert [*tmp_path.iterdir()] == [path]
    if ending == ".svg":
        ElementTree.fromstring(content)


def test_another_ending_is_refused_and_writes_nothing(tmp_path: Path):
    with pytest.raises(InputError, match=r"end it in \.html, \.png, \.svg, \.pdf"):
        one().save(tmp_path / "view.jpg")
    assert [*tmp_path.iterdir()] == []


def bytes_of_png(text: str) -> bytes:
    """The compressed lines of a PNG file in base64, unpacked."""
    content = base64.b64decode(text)
    at, packed = 8, b""
    while at < len(content):
        (n,) = struct.unpack(">I", content[at : at + 4])
        packed += content[at + 8 : at + 8 + n] if content[at + 4 : at + 8] == b"IDAT" else b""
        at += n + 12
    return zlib.decompress(packed)


def test_the_picture_is_not_empty():
    blank = AttentionView(frames=(weights(weights=np.zeros((4, 10, 10))),))
    drawn, empty = (bytes_of_png(view._repr_mimebundle_()["image/png"]) for view in (one(), blank))
    assert len(set(drawn)) > 100
    assert len(drawn) == len(empty)
    differing = np.frombuffer(drawn, np.uint8) != np.frombuffer(empty, np.uint8)
    assert differing.sum() > 10_000


def test_a_view_is_made_without_torch():
    code = "import sys; from interp_emerge.figures import AttentionView; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_picture_draws_each_pattern_and_names_its_head():
    for view in (one(), family(), one(n_heads=30)):
        svg = svg_of(view)
        n = sum(len(frame.heads) for frame in view.frames)
        assert svg.count("<image ") == n
        for head in view.heads:
            assert f">{head}<" in svg


def test_a_picture_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp_emerge.figures.attention.still.MOST_SMALL", 15)
    svg = svg_of(one(n_heads=20))
    assert svg.count("<image ") == 15
    assert "the first 15 of 20 patterns" in " ".join(ElementTree.fromstring(svg).itertext())


def test_a_notebook_gets_a_page_a_picture_and_text():
    view = one()
    bundle = view._repr_mimebundle_()
    assert {*bundle} == {"text/html", "image/png", "text/plain"}
    html = bundle["text/html"]
    scripts = ((Path(figures.__file__).parent / name).read_text() for name in ("around.js", "ground_around.js"))
    around = f"<script>{{\n{''.join(scripts)}}}</script>"
    assert html.endswith(around), "the script outside the frame is a constant, whatever the tokens are"
    assert html.removesuffix(around).count("<script") == 0, "the page is inside an attribute"
    assert 'sandbox="allow-scripts"' in html
    assert html.index("<img ") < html.index("<iframe "), "without the frame, the picture is left"
    text = bundle["text/plain"]
    assert text.startswith(repr(view))
    assert text.count("\n") == 4
    best = int(view.frames[0].weights[0, -1].argmax())
    assert f"({best}) {view.frames[0].weights[0, -1].max():.3f}" in text


def test_text_of_undefined_weights_says_so():
    view = AttentionView(frames=(weights(weights=np.full((4, 10, 10), np.nan)),))
    assert "a0.h0: '' -> undefined" in view._repr_mimebundle_()["text/plain"]


def test_a_view_in_words():
    assert repr(one()) == "AttentionView(pattern of 4 heads × 10 tokens, invented/x/step0/seed0)"
    assert repr(family()) == "AttentionView(pattern of 4 heads × 10 tokens, 6 models)"
    assert repr(averaged()) == "AttentionView(pattern of 2 heads × 4 tokens, mean of 12 pairs, m)"


def test_roles_are_given_as_a_table_or_by_head():
    table = pd.DataFrame({"node": ["a0.h0", "a0.h0"], "role": ["x", "y"], "score": [0.5, 1.0]})
    by_head = {"a0.h0": {"x": 0.5, "y": 1.0}}
    frames = (weights(),)
    assert AttentionView(frames=frames, roles=table).roles == by_head
    assert AttentionView(frames=frames, roles=table.rename(columns={"node": "head"})).roles == by_head
    assert AttentionView(frames=frames, roles=by_head).roles == by_head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": ()}, "at least one"),
        ({"frames": (weights(), weights(mode="difference"))}, "one mode"),
        ({"beside": 1}, "from 0 to 0"),
        ({"roles": pd.DataFrame({"node": []})}, "role and score"),
        ({"roles": ["induction"]}, "role_table"),
        ({"renderer": "circuitviz"}, "did you mean 'circuitsvis'"),
        ({"renderer": "circuitsvis", "frames": family().frames}, "draws one model"),
        ({"renderer": "circuitsvis", "frames": (weights(65),)}, "at most 64 heads"),
        ({"renderer": "circuitsvis", "frames": averaged().frames}, "as many queries as keys"),
        ({"renderer": "circuitsvis", "frames": (weights(weights=np.full((4, 10, 10), np.nan)),)}, "NaN"),
    ],
)
def test_a_view_that_cannot_be_drawn_is_refused_in_one_line(options: dict[str, Any], message: str):
    with pytest.raises(InterpEmergeError, match=message) as refused:
        AttentionView(**{"frames": (weights(),), **options})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("view", [one(), family(), one(n_heads=90, tokens=tuple("ab" * 60)), averaged()], ids=repr)
def test_a_page_is_no_larger_than_estimated(view: AttentionView):
    assert 0.1 * view.estimated_bytes() < len(view.to_html()) < 1.1 * view.estimated_bytes()


def test_a_page_allows_its_own_scripts_only_and_names_no_address():
    for view in (one(), replace(one(), renderer="circuitsvis")):
        html = view.to_html()
        [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
        assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
        assert "unsafe" not in policy
        assert "<img src=x" not in html
        assert html.count("</script") == html.count("\n<script") > 2
