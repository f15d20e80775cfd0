"""The expected time of a study follows from one timed pass of each size and from what is not on disk yet."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.study.duration import expected, in_words, seconds_beside
from tests.studies import SETTINGS, MadeOnce, small_study


def clock_of(*durations: float) -> Iterator[float]:
    """Times at the start and end of passes of these durations."""
    now = 0.0
    for duration in durations:
        yield now
        now += duration
        yield now


def test_time_grows_with_that_of_a_pass_and_with_what_is_asked_for(tmp_path: Path):
    def seconds(*durations: float, **changes):
        study = ie.Study(out=str(tmp_path / "out"), **{**SETTINGS, **changes})
        times = clock_of(*(duration + late for duration in durations for late in (0.5, 0.0, 3.0)))
        return expected(study._work(), clock=lambda: next(times), beside=lambda: 0.0)

    once = seconds(1.0, 1.0)
    assert {"abilities", "node_scores", "edge_scores", "circuit", "roles", "ablation"} <= {*once["stage"]}
    assert once["stage"].iloc[-1] == "tables and report"
    assert (once["seconds"] >= 0).all() and once["seconds"].sum() > 0
    assert once["passes"].sum() == pytest.approx(once["seconds"].sum())
    assert seconds(2.0, 2.0)["seconds"].sum() == pytest.approx(2 * once["seconds"].sum())
    more = seconds(1.0, 1.0, n_random=100, n_measured=256)
    larger = more.set_index("stage")["seconds"] - once.set_index("stage")["seconds"]
    assert {*larger[larger > 0].index} == {"abilities", "circuit"}
    assert seconds(1.0, 1.0, local_search=False)["seconds"].sum() < once["seconds"].sum()
    assert not (tmp_path / "out" / "cells").exists()


def test_what_is_on_disk_takes_no_time(made_once: MadeOnce, tmp_path: Path):
    out = shutil.copytree(made_once("small study", small_study), tmp_path / "out")
    assert expected(ie.Study(out=str(out), **SETTINGS)._work())["seconds"].sum() == 0


def test_what_is_done_beside_the_cells_follows_from_the_speed_of_small_operations():
    once = seconds_beside(clock=partial(next, clock_of(1.0, 1.0, 1.0)))
    assert once > 0
    assert seconds_beside(clock=partial(next, clock_of(2.5, 2.0, 3.0))) == pytest.approx(2 * once)


def test_times_in_words():
    assert [*map(in_words, (4.0, 52.0, 600.0, 5000.0, 10_000.0))] == [
        "about 10 seconds",
        "about 50 seconds",
        "about 10 minutes",
        "about 83 minutes",
        "about 2.8 hours",
    ]


def test_a_family_that_would_have_to_be_downloaded_is_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    study = ie.Study(family="pythia", sizes=("70m",), ability="induction", out=str(tmp_path))
    monkeypatch.setattr(type(study.family), "load", lambda *_a, **_k: pytest.fail("a model was loaded"))
    assert study.expected_time() == ""
