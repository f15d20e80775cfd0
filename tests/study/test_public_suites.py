"""A study runs unchanged on public suites: tiny models of the right architecture in an imitated cache of the hub."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import constants

import interp_emerge as ie
from interp_emerge.families._disk.hub import HubFamily
from tests.families.conftest import link_revision
from tests.families.tiny import save_checkpoint

pytestmark = pytest.mark.slow

SUITES = {
    "pythia": ("gpt_neox", {"14m": [0, 143_000], "31m": [0, 143_000]}, "step{}"),
    "polypythias": ("gpt_neox", {"14m": [0, 143_000]}, "step{}"),
    "olmo2": ("olmo2 without biases", {"1b": [0, 2000], "7b": [0, 2000]}, "stage1-step{}-tokens9B"),
    "qwen3": ("qwen3", {"0.6b": [0], "1.7b": [0]}, "main"),
    "smollm2": ("llama", {"135m": [240_000, 480_000]}, "step-{}"),
    "crfm_gpt2": ("gpt2", {"small": [0, 400_000]}, "checkpoint-{}"),
}
SMALL = {"n_measured": 6, "n_pairs": 6, "n_random": 4, "n_resamples": 2, "n_ablations": 2, "n_probed": 0, "beside": ()}


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], HubFamily]:
    """Fills the cache with checkpoints of a suite; other sizes grow by layers, and every run has its own weights."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # The tiny tokenizer knows no English.
    monkeypatch.setattr(HubFamily, "held_out_text", lambda _: ["w5 w6 w7 w8 w9 w5 w6", "w11 w12 w13 w14"])

    def fill(name: str) -> HubFamily:
        architecture, sizes, revision = SUITES[name]
        family = ie.load_family(name)
        assert isinstance(family, HubFamily)
        for layers, (size, steps) in enumerate(sizes.items(), start=1):
            for seed, repository in enumerate(family.repositories[size][:3]):
                for step in steps:
                    where, draw = tmp_path / f"{size}-{seed}-{step}", 10 * layers + 3 * seed + len(str(step))
                    save_checkpoint(where, draw, architecture=architecture, **depth(architecture, layers))
                    link_revision(tmp_path / "hub", repository, revision.format(step), where)
        return family

    return fill


def depth(architecture: str, layers: int) -> dict[str, object]:
    """The change of a configuration that gives a model so many layers."""
    if architecture == "gpt2":
        return {"n_layer": layers}
    kinds = {"layer_types": ["full_attention"] * layers} if architecture == "qwen3" else {}
    return {"num_hidden_layers": layers, **kinds}


@pytest.mark.parametrize("name", SUITES)
def test_a_study_runs_unchanged(name: str, cached: Callable[[str], HubFamily], tmp_path: Path):
    family = cached(name)
    _, sizes, _ = SUITES[name]
    n_seeds = min(3, len(family.repositories[next(iter(sizes))]))
    study = ie.Study(family=name, sizes=tuple(sizes), seeds=tuple(range(n_seeds)), out=str(tmp_path / "out"), **SMALL)
    assert study.run().is_file()
    ability = study.table("ability")
    found = ability.groupby(["size", "seed"])["step"].unique()
    assert {key: sorted(steps) for key, steps in found.items()} == {
        (size, seed): steps for size, steps in sizes.items() for seed in range(n_seeds)
    }
    assert ability["loss"].notna().all()
    assert family.load(next(iter(sizes)), sizes[next(iter(sizes))][-1]).graph.n_edges > 0


def test_seeds_of_polypythias_are_a_distribution(cached: Callable[[str], HubFamily], tmp_path: Path):
    cached("polypythias")
    study = ie.Study(family="polypythias", sizes=("14m",), seeds=(0, 1, 2), out=str(tmp_path / "out"), **SMALL)
    study.run()
    seeds = study.table("seeds")
    assert (seeds["n_seeds"] == 3).any()
    losses = study.table("ability").query("step == 143000").groupby("seed")["loss"].first()
    assert losses.nunique() == 3


def test_known_faults_are_flagged_in_every_table_that_they_enter(
    cached: Callable[[str], HubFamily],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setitem(SUITES, "pythia", ("gpt_neox", {"14m": [0, 1, 143_000]}, "step{}"))
    cached("pythia")
    study = ie.Study(family="pythia", sizes=("14m",), out=str(tmp_path / "out"), **SMALL)
    study.run()
    assert (
        "known to be wrong: has the weights of step 0 (https://github.com/EleutherAI/pythia/issues/83)" in caplog.text
    )
    ability = study.table("ability")
    flags = ability.groupby("step")["known_fault"].first()
    assert flags[0] == flags[143_000] == ""
    assert flags[1].startswith("14m, step 1, seed 0: has the weights of step 0")
    of_run = study.table("loss_changes")
    assert of_run["known_fault"].str.contains("step 1").all()
    written = pd.read_csv(tmp_path / "out" / "tables" / "ability.csv")
    assert written["known_fault"].notna().sum() == (ability["step"] == 1).sum()


def test_a_study_runs_on_a_model_in_memory(tmp_path: Path):
    model = ie.load_family("miniature").load("7k")
    study = ie.Study(family=ie.families.of_model(model), out=str(tmp_path / "out"), **SMALL)
    assert study.run().is_file()
    assert {*study.table("ability")["size"]} == {model.spec.size}
