"""The content of the report's file; no browser is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp_emerge.abilities.tables import ABILITY
from interp_emerge.core.errors import InputError
from interp_emerge.report import build_report
from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import read_table, write_table
from tests.figures.invented import LAST, ability, tables
from tests.report.fake_study import EVIL, QUESTION, provenance, write_attention, write_study

ADDRESS = re.compile(r"""(?:src|href|srcset|action|data)=["']?(?:https?:)?//""", re.IGNORECASE)


def bare(page: str) -> str:
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


def told(report: Path) -> str:
    """What the page says, without its markup."""
    return re.sub(r"<[^>]*>", "", bare(report.read_text()))


def test_the_report_is_in_the_studys_directory(report: Path):
    assert report.name == "report.html"
    assert (report.parent / "provenance.json").is_file()


def test_each_bundle_is_there_once_and_nothing_points_outside(report: Path):
    page = report.read_text()
    assert page.count("var CircuitsVis=") == 1
    assert page.count("window.vegaEmbed=") == 1
    assert ADDRESS.search(bare(page)) is None


def test_the_policy_admits_the_three_scripts_by_hash_and_nothing_else(report: Path):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', report.read_text())
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert policy[1].count("sha256-") == 4
    assert "unsafe" not in policy[1]


def test_tokens_are_on_the_page_only_as_text_or_escaped_json(report: Path):
    page = report.read_text()
    assert "<img" not in bare(page)
    assert "<img src=x" not in page
    assert "\\u003cimg src=x onerror=alert(1)\\u003e" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_payloads_are_the_recorded_patterns(report: Path):
    payloads = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', report.read_text(), re.DOTALL)
    attention = [payload for payload in map(json.loads, payloads) if "attention" in payload]
    kept = json.loads((report.parent / "attention" / "1m.json").read_text())
    own = next(payload for payload in attention if payload["tokens"] == EVIL)
    assert own["attention"] == kept["patterns"]
    assert own["attentionHeadNames"] == kept["heads"]


def test_building_again_gives_the_same_bytes(report: Path):
    before = report.read_bytes()
    assert build_report(report.parent).read_bytes() == before


def test_the_report_is_built_without_torch(report: Path):
    """Reading tables and drawing figures needs no model, and importing torch takes seconds."""
    program = (
        "import sys\nfrom interp_emerge.cli import main\nsys.argv = ['interp-emerge', 'report', sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print('STATUS', end.code or 0, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(report.parent)], capture_output=True, text=True, timeout=120
    )
    *_, status = done.stdout.splitlines()
    assert status.startswith("STATUS 0 "), done.stderr
    assert {"altair", "interp_emerge.report.build"} <= {*status.split()}
    assert not {"torch", "transformers", "transformer_lens"} & {*status.split()}


def test_empty_tables_are_replaced_by_reasons(tmp_path: Path):
    study = write_study(tmp_path / "study", empty=tuple(tables()))
    for path in (study / "attention").iterdir():
        path.unlink()
    page = build_report(study).read_text()
    for sentence in (
        "no model was measured",
        "no head was scored",
        "no size has the ability, so no circuit was sought",
        "no attention pattern was recorded",
        "no checkpoint was followed",
        "there is no circuit to compare with chance",
        "no onset was sought",
        "no head plays any of the roles",
    ):
        assert sentence in page


def test_models_without_a_circuit_are_listed_with_the_reason(report: Path):
    note = (
        "(seed 2), 25k (seed 0), 25k (seed 1), 25k (seed 2), 12k and 3k; verdict: undefined: the gap is within noise."
    )
    assert note in told(report)


def test_a_table_that_was_not_written_is_named(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    (study / "tables" / "formation.parquet").unlink()
    assert "the study has not written the table “formation”" in build_report(study).read_text()


def test_several_abilities_get_a_heading_each(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    for name in ("node_scores", "circuits", "circuit_edges", "formation", "ablation"):
        table = read_table(all_tables()[name], study / "tables")
        write_table(pd.concat([table, table.assign(ability="two_hop")]), all_tables()[name], study / "tables")
    page = build_report(study).read_text()
    assert page.count("<h3>induction") == page.count("<h3>two_hop") == 4


def test_several_checkpoints_are_drawn_over_the_axis_of_the_study(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    assert "Ability at every checkpoint" not in build_report(study).read_text()
    write_table(ability((0, 64, LAST)), ABILITY, study / "tables")
    record = provenance()
    record["settings"] = {"axis": "flops"}
    (study / "provenance.json").write_text(json.dumps(record))
    page = build_report(study).read_text()
    assert "Ability at every checkpoint" in page
    charts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    switches = [param for chart in map(json.loads, charts) for param in chart.get("params", [])]
    assert [switch["value"] for switch in switches if switch["name"] == "x_axis"] == ["flops", "flops"]


def test_checkpoints_without_a_place_on_any_axis_have_a_reason_instead_of_a_figure(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    table = ability((0, LAST)).assign(loss=np.nan, tokens=np.nan, flops=np.nan)
    write_table(table, ABILITY, study / "tables")
    page = build_report(study).read_text()
    assert "No figure of every checkpoint: the rows cannot be drawn over loss, tokens, flops" in page


def test_undefined_values_are_shown_as_undefined(report: Path):
    assert "verdict: undefined: the gap is within noise" in told(report)
    assert "nan" not in bare(report.read_text()).lower().split()


def test_a_directory_without_a_study_is_refused_and_left_empty(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no study: provenance.json is missing; run the study first"):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_field_of_the_provenance_is_named(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    record = provenance()
    del record["command"]
    (study / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="lacks 'command'"):
        build_report(study)


def test_a_model_without_a_revision_is_refused_by_that_name(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    record = provenance() | {"models": [{"family": "miniature", "size": "1m", "step": 0, "seed": 0}]}
    (study / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="a model without 'revision'"):
        build_report(study)


def test_times_may_be_absent(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    record = provenance()
    del record["started"], record["finished"]
    (study / "provenance.json").write_text(json.dumps(record))
    assert "ran for" not in build_report(study).read_text()


def test_a_broken_file_is_named(tmp_path: Path):
    study = write_study(tmp_path / "study", sizes=("1m",))
    (study / "provenance.json").write_text("{")
    with pytest.raises(InputError, match=r"provenance.json is not valid JSON"):
        build_report(study)


def spoiled(study: Path, **change: object) -> Path:
    path = study / "attention" / "1m.json"
    write_attention(path, "1m", ["a", "b", "c"])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": ["a", "b"]}, r"the pattern of a0.h1 is not 2 × 2, one row and column for each token"),
        ({"heads": ["a0.h1"]}, r"names 1 heads and holds 4 patterns"),
        ({"heads": ["x"], "patterns": [[[1, 0, 0], [2, 0, 0], [0, 0, 1]]]}, r"x holds 2, which is not a fraction"),
        (
            {"heads": ["x"], "patterns": [[[1, 0, 0], [None, 0, 0], [0, 0, 1]]]},
            r"x holds None, which is not a fraction",
        ),
    ],
)
def test_patterns_with_wrong_counts_or_values_are_refused(change, message, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        build_report(spoiled(write_study(tmp_path / "study", sizes=("1m",)), **change))


def test_the_question_is_the_title(report: Path):
    assert f"<title>{QUESTION}</title>" in report.read_text()
