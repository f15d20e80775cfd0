"""The same chain on families that did not come with the package: directories of checkpoints, and the hub."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from interp_emerge import cli
from interp_emerge.study.catalogue import all_tables
from interp_emerge.tables.io import read_table
from tests.report.browser import open_page

pytestmark = pytest.mark.slow
VOCABULARY = 40
OPTIONS = {"n-measured": 32, "n-pairs": 16, "n-random": 10, "n-ablations": 3, "n-probed": 0, "steps-of-integration": 2}
TRAINING_STEPS = 500


def llama(width: int) -> PreTrainedModel:
    heads: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width, "max_position_embeddings": 64}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **heads, **shape))


def gpt2(width: int) -> PreTrainedModel:
    shape: dict[str, Any] = {"n_embd": width, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **shape))


def neox(width: int) -> PreTrainedModel:
    shape: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
    }
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "max_position_embeddings": 64}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, **shape, **ends))


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, `w0` to the last."""
    words = {f"w{index}": index for index in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w0", unk_token="w1")


def teach_induction(model: PreTrainedModel) -> None:
    """Train on repeated segments of changing length, so that there is an ability to find a circuit for."""
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(0)
    for _ in range(TRAINING_STEPS):
        length = int(torch.randint(8, 21, (1,), generator=generator))
        order = torch.rand(32, VOCABULARY - 1, generator=generator).argsort(1)[:, :length] + 1
        tokens = torch.cat([torch.zeros(32, 1, dtype=torch.long), order, order], 1)
        logits = model(tokens).logits[:, length + 1 : -1]
        cross_entropy(logits.flatten(0, 1), tokens[:, length + 2 :].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def make_family(root: Path, build: Callable[[int], PreTrainedModel], *, taught: bool) -> Path:
    """Two sizes with two steps each, the tokenizer at the top."""
    torch.manual_seed(0)
    for size, width in {"small": 16, "large": 48}.items():
        model = build(width)
        model.save_pretrained(root / size / "step0")
        if taught and size == "large":
            teach_induction(model)
        model.save_pretrained(root / size / "step100")
    word_tokenizer().save_pretrained(root)
    return root


def interp_emerge(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interp_emerge", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def run(out: Path, *words: object, **environment: str) -> dict[str, pd.DataFrame]:
    options = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    done = interp_emerge("run", *words, *options, "--out", out, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "report.html")
    seen = open_page(out / "report.html")
    assert not seen.requests and not seen.errors and not seen.n_empty
    return {name: read_table(table, out / "tables") for name, table in all_tables().items()}


def test_a_llama_with_grouped_queries_goes_through_the_whole_chain(tmp_path: Path) -> None:
    tables = run(tmp_path / "out", "--family", make_family(tmp_path / "family", llama, taught=True))

    small, large = tables["circuits"].to_dict("records")
    assert "no circuit" in small["verdict"]
    assert large["faithfulness"] > large["random_p95"]
    assert tables["circuit_edges"]["reader"].str.contains("kv").any()
    assert not (tables["ability"]["ability"] == "markov").any(), "a control that the tokenizer lacks is left out"


def test_a_gpt2_that_was_taught_nothing_has_effects_but_no_circuit(tmp_path: Path) -> None:
    tables = run(tmp_path / "out", "--family", make_family(tmp_path / "family", gpt2, taught=False))

    assert tables["circuits"]["verdict"].str.contains("no circuit").all()
    assert set(tables["node_scores"]["size"]) == {"small", "large"}
    assert len(tables["circuit_edges"]) == 0


def test_pythia_runs_from_a_hub_cache(tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    repository = cache / "models--EleutherAI--pythia-14m"
    torch.manual_seed(0)
    model = neox(32)
    for step in (0, 1000, 143000):
        snapshot = repository / "snapshots" / f"{step:040x}"
        with torch.no_grad():
            next(model.parameters()).mul_(1.1)
        model.save_pretrained(snapshot)
        word_tokenizer().save_pretrained(snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / f"step{step}").write_text(f"{step:040x}")

    tables = run(tmp_path / "out", "--family", "pythia", "--sizes", "14m", HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1")

    assert sorted(tables["ability"]["step"].unique()) == [0, 1000, 143000]
    assert set(tables["ability"]["size"]) == {"14m"}
    refused = interp_emerge("run", "--family", "pythia", "--sizes", "70m", HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    assert "HF_HUB_OFFLINE" in refused.stderr


def test_a_single_model_is_a_family_of_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gpt2(16).save_pretrained(tmp_path / "mine")
    tables = run(tmp_path / "out", "--family", tmp_path / "mine")

    assert tables["ability"]["size"].unique().tolist() == ["mine"]
    assert tables["onsets"]["verdict"].tolist() == ["not reached"]


def break_weights(root: Path) -> None:
    model = llama(16)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(root / "small" / "step100")


def remove_models(root: Path) -> None:
    shutil.rmtree(root / "small")
    shutil.rmtree(root / "large")


def shrink_vocabulary(root: Path) -> None:
    for config in root.rglob("step*"):
        shutil.rmtree(config)
        config.mkdir()
    small = LlamaConfig(
        vocab_size=VOCABULARY // 2, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    LlamaForCausalLM(small).save_pretrained(root / "small" / "step100")


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family(tmp_path_factory.mktemp("untaught") / "family", llama, taught=False)


@pytest.mark.parametrize(
    ("damage", "words", "message"),
    [
        (break_weights, (), "not finite"),
        (remove_models, (), "holds no model"),
        (shrink_vocabulary, (), "tokenizer does not fit"),
        (lambda _root: None, ("--ability", "two_hop"), "as single tokens"),
        (lambda _root: None, ("--sizes", "lareg"), "did you mean 'large'"),
    ],
    ids=["weights", "no model", "tokenizer", "ability", "size"],
)
def test_what_cannot_be_run_is_one_line_and_exit_2(
    damage: Callable[[Path], None],
    words: tuple[str, ...],
    message: str,
    untaught: Path,
    tmp_path: Path,
    capfd,
    monkeypatch,
) -> None:
    root = shutil.copytree(untaught, tmp_path / "family")
    damage(root)
    monkeypatch.setattr(
        sys, "argv", ["interp-emerge", "run", "--family", str(root), "--out", str(tmp_path / "out"), *words]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    errors = capfd.readouterr().err

    assert ended.value.code == 2
    assert message in errors
    assert errors.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_process_that_cannot_run_its_study_ends_the_same_way(untaught: Path, tmp_path: Path) -> None:
    done = interp_emerge("run", "--family", untaught, "--out", tmp_path / "out", "--sizes", "lareg")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "did you mean 'large'" in done.stderr
