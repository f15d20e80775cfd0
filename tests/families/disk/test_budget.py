"""A disk budget holds at any moment, removes its own downloads only, and survives being killed."""

import json
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.families import DiskBudget, read_size
from interp_emerge.families._disk.downloads import Download
from tests.families.fake_hub import FakeHub, held
from tests.families.tiny import save_checkpoint

REPOSITORY = "EleutherAI/pythia-14m"
STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]


@pytest.fixture
def sweep(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """Twelve checkpoints of one size on the hub, none in the cache."""
    for seed, step in enumerate(STEPS):
        hub.add(REPOSITORY, f"step{step}", save_checkpoint(tmp_path / f"step{step}", seed))
    return hub


@pytest.fixture
def each(sweep: FakeHub) -> int:
    """Bytes of one checkpoint."""
    return ie.load_family("pythia").bytes_to_download("14m", 0)


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 GiB", 3 * 2**29), ("500 mb", 5 * 10**8), ("1000", 1000)]
)
def test_sizes_are_read_with_their_units(text: str, size: int):
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "GB", "-1GB", "20 parsecs", "1e3"])
def test_what_is_not_a_size_is_refused(text: str):
    with pytest.raises(InputError, match="is not a size; give one such as 20GB"):
        read_size(text)


def test_twelve_checkpoints_under_a_budget_of_two_never_hold_more_than_two(
    sweep: FakeHub, each: int, hub_cache: Path, tmp_path: Path
):
    family, disk = ie.load_family("pythia"), DiskBudget(tmp_path / "record.json", 2 * each)
    for step in STEPS:
        assert family.fetch("14m", step, disk=disk)
        assert disk.held <= 2 * each
        assert family.load("14m", step).spec.step == step
    assert sweep.most_held == 2
    assert [revision for _, revision in sweep.downloaded] == [f"step{step}" for step in STEPS]
    assert len(held(hub_cache)) == len(disk.checkpoints) == 2


def test_the_least_recently_used_goes_first(sweep: FakeHub, each: int, tmp_path: Path):
    family, disk = ie.load_family("pythia"), DiskBudget(tmp_path / "record.json", 2 * each)
    for step in (0, 1, 0, 2):
        family.fetch("14m", step, disk=disk)
    assert [family.is_here("14m", step) for step in (0, 1, 2)] == [True, False, True]


def test_contents_are_freed_but_names_and_configurations_stay(
    sweep: FakeHub, each: int, hub_cache: Path, tmp_path: Path
):
    family, disk = ie.load_family("pythia"), DiskBudget(tmp_path / "record.json", each)
    before = {step: family.spec("14m", step) for step in (0, 1)}
    for step in (0, 1):
        family.fetch("14m", step, disk=disk)
    large = [path for path in hub_cache.glob("*/blobs/*") if path.stat().st_size > 20_000]
    assert len(large) == 1
    n = len(sweep.downloaded)
    assert {step: family.spec("14m", step) for step in (0, 1)} == before
    assert len(sweep.downloaded) == n


def test_what_was_in_the_cache_before_is_kept_unless_asked(sweep: FakeHub, each: int, tmp_path: Path):
    family = ie.load_family("pythia")
    for step in (0, 1):
        family.fetch("14m", step)
    disk = DiskBudget(tmp_path / "kept.json", each)
    for step in (0, 1, 2, 4):
        family.fetch("14m", step, disk=disk)
    assert [family.is_here("14m", step) for step in (0, 1, 2, 4)] == [True, True, False, True]
    disk = DiskBudget(tmp_path / "asked.json", 2 * each, evict_cached=True)
    for step in (0, 1, 8):
        family.fetch("14m", step, disk=disk)
    assert [family.is_here("14m", step) for step in (0, 1, 8)] == [False, True, True]


def test_a_killed_run_still_knows_its_own_downloads(sweep: FakeHub, each: int, hub_cache: Path, tmp_path: Path):
    family, record = ie.load_family("pythia"), tmp_path / "record.json"

    def go_through_all() -> None:
        for step in STEPS:
            family.fetch("14m", step, disk=DiskBudget(record, 2 * each))

    sweep.stops_after = 5
    with pytest.raises(KeyboardInterrupt):
        go_through_all()
    sweep.stops_after = None
    go_through_all()
    assert sweep.most_held == 2
    assert [family.is_here("14m", step) for step in STEPS] == [False] * 10 + [True] * 2


def test_half_a_download_of_a_killed_run_counts_and_is_removed(
    sweep: FakeHub, each: int, hub_cache: Path, tmp_path: Path
):
    family, record = ie.load_family("pythia"), tmp_path / "record.json"
    sweep.stops_after = 0
    with pytest.raises(KeyboardInterrupt):
        family.fetch("14m", 0, disk=DiskBudget(record, each))
    left = hub_cache / "models--EleutherAI--pythia-14m" / "blobs" / "abc.incomplete"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"x" * (each // 2))
    sweep.stops_after = None
    disk = DiskBudget(record, each)
    assert disk.held == each // 2
    family.fetch("14m", 1, disk=disk)
    assert not left.exists()
    assert family.is_here("14m", 1)


def test_a_checkpoint_larger_than_the_budget_is_refused_before_it_is_downloaded(
    sweep: FakeHub, each: int, tmp_path: Path
):
    with pytest.raises(InputError, match=r"at 'step0' needs .* of disk, but the disk budget is .*; raise it"):
        ie.load_family("pythia").fetch("14m", 0, disk=DiskBudget(tmp_path / "record.json", each - 1))
    assert sweep.downloaded == []


def test_nothing_in_use_is_removed_for_what_comes_later(sweep: FakeHub, each: int, tmp_path: Path):
    family, disk = ie.load_family("pythia"), DiskBudget(tmp_path / "record.json", each)
    family.fetch("14m", 0, disk=disk)
    assert not family.fetch("14m", 1, disk=disk, ahead=True)
    assert family.is_here("14m", 0)


def test_a_content_that_two_revisions_share_stays_while_one_of_them_is_kept(hub: FakeHub, tmp_path: Path):
    same = save_checkpoint(tmp_path / "same")
    for step in (0, 1):
        hub.add(REPOSITORY, f"step{step}", same)
    family = ie.load_family("pythia")
    family.fetch("14m", 0)
    size = family.bytes_to_download("14m", 1)
    disk = DiskBudget(tmp_path / "record.json", size)
    family.fetch("14m", 1, disk=disk)
    hub.add(REPOSITORY, "step2", save_checkpoint(tmp_path / "other", 1))
    family.fetch("14m", 2, disk=disk)
    assert [family.is_here("14m", step) for step in (0, 1, 2)] == [True, False, True]
    assert family.load("14m", 0).d_vocab == 64


def test_in_subfolders_too_a_content_stays_while_another_snapshot_links_to_it(tmp_path: Path):
    repository, removed = tmp_path / "models--of--mine", tmp_path / "models--of--mine" / "snapshots" / "one"
    for name in ("shared", "alone", "old.incomplete"):
        (repository / "blobs").mkdir(parents=True, exist_ok=True)
        (repository / "blobs" / name).write_bytes(b"x" * 10)
    links = {"one/part/model.safetensors": "shared", "one/part/model-2.safetensors": "alone",
             "two/part/deep/model.safetensors": "shared"}  # fmt: skip
    for link, blob in links.items():
        path = repository / "snapshots" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(repository / "blobs" / blob)
    files = [str(removed / "part" / name) for name in ("model.safetensors", "model-2.safetensors", "lost.safetensors")]
    entry = {"own": True, "files": files, "bytes": 30, "began": 0.0, "used": 0.0}
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"downloads": {"of/mine@one": entry}}))
    disk = DiskBudget(record, 30)
    assert disk.held == 30  # two files, and what is left of an unfinished one
    fresh = Download(
        repository="of/mine", revision="three", commit="three", bytes_by_file={tmp_path / "model.safetensors": 30}
    )
    assert disk.admit(fresh)
    assert sorted(path.name for path in (repository / "blobs").iterdir()) == ["shared"]
    assert not any(path.is_symlink() for path in removed.rglob("*"))
    assert (repository / "snapshots" / "two/part/deep/model.safetensors").is_file()
