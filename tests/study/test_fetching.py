"""A study downloads the next checkpoint ahead, keeps its disk budget, and goes on after being killed."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.families import DiskBudget
from interp_emerge.study.fetching import Fetching
from interp_emerge.study.grid import Checkpoint
from tests.families.fake_hub import FakeHub
from tests.families.tiny import save_checkpoint

REPOSITORY = "EleutherAI/pythia-14m"
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
FEW: dict[str, Any] = {"n_measured": 4, "n_pairs": 4, "n_random": 2, "n_resamples": 2, "n_ablations": 2}
SMALL: dict[str, Any] = {**FEW, "n_probed": 0, "beside": ()}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = FakeHub().install(monkeypatch)
    for seed, step in enumerate(STEPS):
        hub.add(REPOSITORY, f"step{step}", save_checkpoint(tmp_path / f"step{step}", seed, num_hidden_layers=1))
    return hub


@pytest.fixture
def two(sweep: FakeHub) -> int:
    """Bytes of two checkpoints."""
    return 2 * ie.load_family("pythia").bytes_to_download("14m", 0)


def study(out: Path, budget: int | None = None) -> ie.Study:
    bounded: dict[str, Any] = {} if budget is None else {"disk_budget": str(budget)}
    return ie.Study(family="pythia", sizes=("14m",), steps=STEPS, out=str(out), **SMALL, **bounded)


@pytest.mark.slow
def test_a_sweep_over_twelve_checkpoints_holds_two_and_goes_on_after_being_killed(
    sweep: FakeHub, two: int, tmp_path: Path
):
    sweep.stops_after = 5
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "bounded", two).run()
    assert sweep.most_held <= 2
    sweep.stops_after = None
    assert study(tmp_path / "bounded", two).run().is_file()
    assert sweep.most_held == 2
    assert {revision for _, revision in sweep.downloaded} == {f"step{step}" for step in STEPS}
    assert len(sweep.downloaded) <= len(STEPS) + 2, "only what was lost when it was killed is fetched again"
    n = len(sweep.downloaded)
    assert study(tmp_path / "bounded", two).run().is_file()
    assert len(sweep.downloaded) == n
    study(tmp_path / "unbounded").run()
    for table in ("ability", "loss_changes"):
        bounded, unbounded = (tmp_path / run / "tables" / f"{table}.csv" for run in ("bounded", "unbounded"))
        assert bounded.read_bytes() == unbounded.read_bytes()


def test_the_next_checkpoint_is_fetched_while_this_one_is_analysed(sweep: FakeHub, two: int, tmp_path: Path):
    fetching = Fetching(ie.load_family("pythia"), DiskBudget(tmp_path / "record.json", two))
    fetching.require("14m", 0, 0)
    fetching.then(Checkpoint("14m", 1, 0))
    assert len(sweep.downloaded) == 1
    fetching.begin()
    fetching.stop()
    assert [revision for _, revision in sweep.downloaded] == ["step0", "step1"]
    fetching.require("14m", 1, 0)
    assert len(sweep.downloaded) == 2


def test_a_failure_ahead_is_told_when_the_checkpoint_is_needed(sweep: FakeHub, tmp_path: Path):
    fetching = Fetching(ie.load_family("pythia"))
    fetching.then(Checkpoint("14m", 143_000, 0))
    fetching.begin()
    fetching.stop()
    with pytest.raises(ie.InterpEmergeError, match=r"the hub has no .* with a revision 'step143000'"):
        fetching.require("14m", 143_000, 0)


def test_models_on_this_machine_start_no_thread():
    fetching = Fetching(ie.load_family("miniature"))
    fetching.require("7k", 0, 0)
    assert not fetching.may_download


def test_the_plan_says_what_would_be_downloaded(sweep: FakeHub, two: int, tmp_path: Path):
    assert study(tmp_path / "out", two).downloads().startswith("downloads: 12 of 12 checkpoints, about ")
    ie.load_family("pythia").fetch("14m", 0)
    assert study(tmp_path / "out").downloads().startswith("downloads: 11 of 12 checkpoints, about ")
    assert ie.Study(out=str(tmp_path / "mini")).downloads() == ""


def test_a_budget_that_is_not_a_size_or_cannot_be_kept_is_refused(sweep: FakeHub, two: int, tmp_path: Path):
    with pytest.raises(InputError, match="disk budget 'lots' is not a size"):
        ie.Study(family="pythia", disk_budget="lots")
    with pytest.raises(InputError, match="bounds the downloads of one process; leave it out, or take workers=1"):
        study(tmp_path / "out", two).run(workers=2)
