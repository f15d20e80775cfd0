"""What the explorer is given equals the study's tables; what was not measured is missing, not zero."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.report.attention import MOST_VALUES, over_training
from interp_emerge.report.explorer import explorer_data, rounded
from interp_emerge.report.reading import StudyRecord, read_study
from interp_emerge.report.screenshot import screenshot
from interp_emerge.report.sections import shelf
from tests.figures.invented import LAST, STEPS
from tests.report.fake_study import EDGES, effect_of


@pytest.fixture(scope="module")
def study(report: Path) -> StudyRecord:
    return read_study(report.parent)


@pytest.fixture(scope="module")
def runs(study: StudyRecord) -> dict[tuple[str, int], dict]:
    data = explorer_data(study)
    assert data is not None
    return {(run["size"], run["seed"]): run for run in data["runs"]}


def test_edges_carry_their_effect_at_every_step_and_half_of_the_last(runs):
    run = runs["1m", 0]
    assert run["steps"] == [*STEPS]
    edges = {(edge["writer"], edge["reader"]): edge for edge in run["edges"]}
    for edge in EDGES:
        assert [value[0] for value in edges[edge]["effects"]] == [effect_of(edge, step) for step in STEPS]
        assert edges[edge]["half"] == effect_of(edge, LAST) / 2
    others = [edge for key, edge in edges.items() if key not in EDGES and key != ("m0", "logits")]
    assert others and all(edge["effects"] is None for edge in others)


def test_values_equal_the_tables_and_missing_steps_are_missing(runs, study: StudyRecord):
    able = study.rows["ability"].query(
        "size == '200k' and seed == 1 and ability == 'induction' and metric == 'accuracy'"
    )
    curve = runs["200k", 1]["curves"]["induction"]["accuracy"]
    assert curve[:-1] == [None] * (len(STEPS) - 1), "abilities were measured at the last step"
    assert curve[-1] == [rounded(able[name].iloc[0]) for name in ("value", "ci_low", "ci_high")]
    scored = study.rows["node_scores"].query("size == '1m' and kind != 'embed'")
    assert runs["1m", 0]["last_effects"] == {
        row.node: [rounded(row.score), rounded(row.ci_low), rounded(row.ci_high)] for row in scored.itertuples()
    }
    assert runs["1m", 0]["faithfulness"][0] is None, "undefined at step 0"
    assert runs["200k", 1]["heads"] == [], "heads of other seeds were not scored"


def test_attention_comes_back_as_it_was_written(runs, report: Path):
    kept = json.loads((report.parent / "attention" / "1m.json").read_text())
    found = runs["1m", 0]["attention"]
    n = len(kept["tokens"])
    content = zlib.decompress(base64.b64decode(found["patterns"]))
    values = np.frombuffer(content, dtype="<u2").reshape(2, len(kept["heads"]), n, n) / 1000
    assert found["steps"] == [512, LAST] and found["tokens"] == kept["tokens"]
    np.testing.assert_allclose(values[1], kept["patterns"], atol=1e-9)
    np.testing.assert_allclose(values[0], kept["earlier"][0]["patterns"], atol=1e-9)


def test_a_study_in_which_nothing_was_measured_has_no_explorer(study: StudyRecord):
    assert explorer_data(replace(study, rows={})) is None


def test_patterns_of_earlier_steps_are_left_out_where_they_are_too_many():
    few = {"tokens": ["a", "b"], "heads": ["a0.h0"], "patterns": [[[1, 0], [0.5, 0.5]]]}
    found = over_training({0: few, 9: few}, size="7k", seed=0)
    assert (found["step"], found["size"], [one["step"] for one in found["earlier"]]) == (9, "7k", [0])
    many = {**few, "heads": ["a0.h0"] * (MOST_VALUES // 4)}
    assert over_training({0: many, 9: many})["earlier"] == []


@pytest.mark.parametrize(("steps", "said"), [((0,), False), ((0, 512), True), ((512, 1000), False)])
def test_step_0_is_the_untrained_model_only_if_training_follows(steps: tuple[int, ...], said: bool, study: StudyRecord):
    formed = study.rows["formation"]
    kept = formed[formed["step"].isin(steps)]
    blocks = shelf["formation"].shown(replace(study, rows={**study.rows, "formation": kept}))
    (picture,) = [picture for block in blocks for picture in block.pictures]
    assert ("step 0 is the untrained model" in picture.caption) == said


def test_a_picture_needs_a_browser_and_a_png(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="give a name that ends in"):
        screenshot(report, tmp_path / "x.jpg")
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(InputError, match="no Chromium to take the picture with; install it or set CHROMIUM"):
        screenshot(report, tmp_path / "x.png")
    (tmp_path / "broken").write_text("#!/bin/sh\necho no display >&2\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "broken"))
    with pytest.raises(InputError, match=r"the browser wrote no picture \(no display\)"):
        screenshot(report, tmp_path / "x.png")
    (tmp_path / "asked").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments; echo x > {tmp_path}/x.png\n')
    (tmp_path / "asked").chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "asked"))
    assert screenshot(report, tmp_path / "x.png", at="size=1m") == tmp_path / "x.png"
    assert f"{report.resolve().as_uri()}#size=1m" in (tmp_path / "arguments").read_text()
