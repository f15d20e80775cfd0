"""Saved probes: two files that belong together, and damaged ones get one clear line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.probing import ProbeScores
from tests.models.small_models import small_model
from tests.probing.test_leaks import pairs_of


@pytest.fixture(scope="module")
def scores() -> ProbeScores:
    pairs = pairs_of(np.random.default_rng(0).integers(5, 40, size=(40, 4)))
    return ie.probe(small_model("gpt2"), pairs, method="nearest_centroid")


def test_probes_and_table_of_two_saves_are_refused(scores: ProbeScores, tmp_path: Path):
    one, other = (scores.save(tmp_path / f"{name}.safetensors") for name in ("one", "other"))
    assert one == tmp_path / "one.safetensors"
    scores.probes[0].bias.add_(1)
    scores.save(other)
    one.with_suffix(".json").write_bytes(other.with_suffix(".json").read_bytes())
    with pytest.raises(InputError, match="are not of one save"):
        ProbeScores.load(one)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".json", ".safetensors", ".safetensors"]


def test_a_json_file_of_another_kind_is_not_overwritten(scores: ProbeScores, tmp_path: Path):
    (tmp_path / "notes.json").write_text("[1]")
    with pytest.raises(InputError, match="is no table of probes; give another name"):
        scores.save(tmp_path / "notes.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: [], "has format 'list'"),
        (lambda content: {"format": 3, "probes": content["probes"]}, "is damaged .no 'table'"),
        (lambda content: content | {"table": []}, "not lists of one length"),
        (
            lambda content: content | {"table": [row | {"head": None} for row in content["table"]]},
            "head of row 0 is None",
        ),
        (lambda content: content | {"table": [{}] * len(content["table"])}, "lacks column"),
        (lambda content: content | {"classes": [[[1], 2]] * len(content["classes"])}, "neither whole numbers nor text"),
        (lambda content: content | {"classes": [[1]] * len(content["classes"])}, "for 1 classes"),
        (lambda content: content | {"learning": 3}, "is damaged"),
        (lambda content: content | {"origin": None}, "is damaged"),
    ],
)
def test_damaged_tables_are_refused_in_one_line(scores: ProbeScores, tmp_path: Path, change: Any, message: str):
    path = scores.save(tmp_path / "probes.safetensors")
    about = path.with_suffix(".json")
    about.write_text(json.dumps(change(json.loads(about.read_text()))))
    with pytest.raises(InputError, match=message) as refused:
        ProbeScores.load(path)
    assert "\n" not in str(refused.value)
