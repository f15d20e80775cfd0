"""A checkpoint is loaded completely or not at all, and the error says what to do."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import interp_emerge as ie
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.model import HookedModel
from tests.families.tiny import save_checkpoint, save_model, some_tokens, tiny_model, tiny_tokenizer
from tests.models.computed_apart import assert_same_logits

NORM = "gpt_neox.final_layer_norm.weight"
Tensors = dict[str, torch.Tensor]


def load(directory: Path, **options: Any) -> HookedModel:
    family = ie.load_family(directory)
    return family.load(family.sizes[0], **options)


def refusal(directory: Path) -> str:
    with pytest.raises(ModelError) as raised:
        load(directory)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change_weights(directory: Path, change: Callable[[Tensors], object]) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "model")


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama", "gemma2"])
def test_a_sound_checkpoint_has_the_logits_of_the_model_that_was_saved(tmp_path: Path, architecture: str):
    tokens = some_tokens()
    model = load(save_checkpoint(tmp_path / "model", architecture=architecture))
    with torch.no_grad():
        assert_same_logits(model.logits(tokens), tiny_model(architecture)(input_ids=tokens).logits[:, -1])


def test_tied_embeddings_are_not_missing(tmp_path: Path):
    directory = save_checkpoint(tmp_path / "model", architecture="gpt2")
    assert "lm_head.weight" not in load_file(directory / "model.safetensors")
    assert load(directory).d_vocab == 64


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_loaded_in_the_dtype_asked_for(checkpoint: Path, dtype: str):
    model = load(checkpoint, dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert model.spec.dtype == dtype
    assert torch.isfinite(model.logits(some_tokens())).all()


def test_float32_is_the_default_whatever_is_stored(tmp_path: Path):
    tiny_model().half().save_pretrained(tmp_path / "model")
    assert load(tmp_path / "model").dtype == torch.float32


def test_an_unknown_dtype_or_device_is_refused(checkpoint: Path):
    with pytest.raises(InputError, match="dtype 'int8' is not one of float32, bfloat16, float16"):
        load(checkpoint, dtype="int8")
    with pytest.raises(InputError, match="'gpu' is not a device; give cpu or cuda"):
        load(checkpoint, device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(checkpoint: Path):
    with pytest.raises(InputError, match="the device is 'cuda', but there is no GPU here; leave the device empty"):
        load(checkpoint, device="cuda")


def test_attention_patterns_can_be_returned(checkpoint: Path):
    assert load(checkpoint).hf.config._attn_implementation == "eager"


def test_pickled_weights_are_not_read(checkpoint: Path):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    message = refusal(checkpoint)
    assert "holds pickled weights only (pytorch_model.bin)" in message
    assert message.endswith("write safetensors with save_pretrained")


def test_a_configuration_without_weights_is_refused(checkpoint: Path):
    (checkpoint / "model.safetensors").unlink()
    assert refusal(checkpoint).endswith("holds a config.json but no weights; add its model.safetensors")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_refused(checkpoint: Path, kept: float):
    path = checkpoint / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    message = refusal(checkpoint)
    assert "cannot be loaded" in message
    assert message.endswith("copy or download the checkpoint again")


def test_weights_that_are_not_safetensors_are_refused(checkpoint: Path):
    (checkpoint / "model.safetensors").write_bytes(b"\xff" * 1000)
    assert refusal(checkpoint).endswith("copy or download the checkpoint again")


def test_a_missing_shard_is_refused(tmp_path: Path):
    tiny_model().save_pretrained(tmp_path / "model", max_shard_size="20KB")
    shards = sorted((tmp_path / "model").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert load(tmp_path / "model").d_vocab == 64
    shards[0].unlink()
    assert refusal(tmp_path / "model").endswith("copy or download the checkpoint again")


def test_a_missing_weight_is_refused_by_name(checkpoint: Path):
    change_weights(checkpoint, lambda tensors: tensors.pop(NORM))
    assert f"are missing ({NORM}); copy or download" in refusal(checkpoint)


def test_several_missing_weights_are_counted(checkpoint: Path):
    change_weights(checkpoint, lambda tensors: [tensors.pop(name) for name in list(tensors) if "layers.1." in name])
    assert "are missing (gpt_neox.layers.1.attention.dense.bias and 11 more)" in refusal(checkpoint)


def test_a_weight_of_another_shape_is_refused_by_name(checkpoint: Path):
    change_weights(checkpoint, lambda tensors: tensors.update({NORM: torch.ones(3)}))
    assert f"are not of the shape that config.json gives ({NORM})" in refusal(checkpoint)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(checkpoint: Path, bad: float):
    change_weights(checkpoint, lambda tensors: tensors[NORM].fill_(bad))
    assert f"weights are not finite ({NORM})" in refusal(checkpoint)


def test_weights_that_the_configuration_does_not_use_give_a_warning(checkpoint: Path, caplog):
    with caplog.at_level(logging.WARNING, "interp_emerge"):
        load(checkpoint)
        assert caplog.messages == []
        path = checkpoint / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 1}))
        load(checkpoint)
    assert "does not use 12 weights" in caplog.text


def test_a_tokenizer_that_does_not_fit_is_refused(checkpoint: Path):
    tiny_tokenizer(65).save_pretrained(checkpoint)
    assert "does not fit" in refusal(checkpoint)
    assert "'w64' has id 64, but the model has ids 0 to 63; give the tokenizer that the model was trained" in refusal(
        checkpoint
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "1.0", "model": {"type": "no such thing"}}'])
def test_a_tokenizer_that_cannot_be_read_is_refused(checkpoint: Path, content: str):
    (checkpoint / "tokenizer.json").write_text(content)
    assert "the tokenizer in" in refusal(checkpoint)
    assert refusal(checkpoint).endswith("copy or download it again")


def test_settings_without_a_tokenizer_make_none(tmp_path: Path):
    """From such a file transformers makes up a tokenizer of two tokens."""
    directory = save_model(tmp_path / "model")
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    assert load(directory).tokenizer is None


def test_code_that_comes_with_a_checkpoint_is_not_run(checkpoint: Path):
    path, ran = checkpoint / "config.json", checkpoint / "ran"
    (checkpoint / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    refusal(checkpoint)
    assert not ran.exists()
