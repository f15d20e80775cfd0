"""A short TOML file describes a family, of repositories or of directories."""

from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError
from tests.families.fake_hub import FakeHub
from tests.families.tiny import save_checkpoint, some_tokens, tiny_model
from tests.models.computed_apart import assert_same_logits

HUB = """
name = "mine"
revisions = "iter-{step}"
tokens_per_step = { small = 1024, large = 2048 }
parameters = { small = 1000 }
prepend_bos = true
license = "mit"

[sizes]
small = ["me/small-a", "me/small-b"]
large = "me/large"

[source]
authors = "Doe et al."
year = 2026
url = "https://example.org"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_repositories_by_size_and_seed(hub: FakeHub, tmp_path: Path):
    for seed, name in enumerate(("small-a", "small-b", "large")):
        for step in (10, 20):
            hub.add(f"me/{name}", f"iter-{step}", save_checkpoint(tmp_path / f"{name}{step}", seed + step))
    family = ie.load_family(write(tmp_path / "mine.toml", HUB))
    assert (family.name, family.sizes, family.seeds("small")) == ("mine", ["small", "large"], [0, 1])
    assert family.steps("small", 1) == [10, 20]
    assert [family.tokens("small"), family.tokens("large")] == [20 * 1024, 20 * 2048]
    assert (family.license, family.source.year, family.published_parameters("small")) == ("mit", 2026, 1000)
    model = family.load("small", 20, 1)
    assert model.spec.location == "me/small-b"
    assert_same_logits(model.logits(some_tokens()), tiny_model(seed=21)(input_ids=some_tokens()).logits[:, -1])
    assert model.bos == [0]
    again = ie.load_family(family.address)
    assert (again.name, again.sizes) == (family.name, family.sizes)


def test_directories_by_size_and_seed(tmp_path: Path):
    for seed in (0, 1):
        for step in (0, 5):
            save_checkpoint(tmp_path / "runs" / f"a{seed}" / f"step{step}", 10 * seed + step)
    save_checkpoint(tmp_path / "runs" / "big", 7, num_hidden_layers=3)
    text = '[sizes]\nsmall = ["./runs/a0", "./runs/a1"]\nbig = "./runs/big"\n'
    family = ie.load_family(write(tmp_path / "local.toml", text))
    assert (family.name, family.sizes, family.seeds("small")) == ("local", ["small", "big"], [0, 1])
    assert [family.steps("small", seed) for seed in (0, 1)] == [[0, 5], [0, 5]]
    model = family.load("small", 5, 1)
    assert (str(model.spec), model.spec.location) == ("local/small/step5/seed1", "a1/step5")
    assert_same_logits(model.logits(some_tokens()), tiny_model(seed=15)(input_ids=some_tokens()).logits[:, -1])
    assert family.load("big").encode("w3") == [3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not a TOML file of a family"),
        ('[sizes]\na = "x/y"\n[more]\nb = 1\n', "unknown field in .* 'more'"),
        ('name = "mine"\n', "sizes is not valid"),
        ('steps = "all"\n[sizes]\na = "x/y"\n', "steps.* is not valid"),
        ('name = "../../etc"\n[sizes]\na = "x/y"\n', "name is not valid"),
        ('revisions = "s{stage}"\n[sizes]\na = "x/y"\n', "unknown field {stage}"),
        ('[sizes]\na = "x/y"\nb = "./here"\n', "partly directories and partly repositories"),
        ('steps = [0]\n[sizes]\na = "./here"\n', "steps is for repositories of the hub; leave it out for directories"),
        ('[sizes]\na = "x/y"\nb = "x/y"\n', "'x/y' is given for two sizes or seeds"),
        ('[sizes]\na = "./nowhere"\n', "nowhere, the directory of a, does not exist"),
    ],
)
def test_a_file_that_is_not_valid_is_one_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(InterpEmergeError, match=message) as raised:
        ie.load_family(write(tmp_path / "bad.toml", text))
    assert "\n" not in str(raised.value)


def test_another_file_says_what_is_wanted(tmp_path: Path):
    with pytest.raises(InterpEmergeError, match="is a file; give the directory of checkpoints that contains it"):
        ie.load_family(write(tmp_path / "model.bin", ""))
