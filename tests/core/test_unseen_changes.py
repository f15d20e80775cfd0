"""What changes a model without a trace in its weights: strengths in hooks, numbers on modules, code of its user."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import interp_emerge as ie
from interp_emerge import families
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import build, random_pairs

PAIRS = random_pairs(4, length=6)
METHODS = ("eap", "exact_edges", "activation_patching")


def scores(model: HookedModel, method: str) -> np.ndarray:
    return np.nan_to_num(ie.score(model, PAIRS, method=method).to_frame()["score"].to_numpy(float))


@pytest.mark.parametrize("where", ["model.layers.0.self_attn.o_proj", "model.layers.1.input_layernorm", "lm_head"])
@pytest.mark.parametrize("method", METHODS)
def test_a_steering_strength_that_changes_between_runs_is_followed(where: str, method: str) -> None:
    hf, strength = build("llama"), {"by": 1.0}
    hf.get_submodule(where).register_forward_hook(lambda module, args, out: out * strength["by"])
    model = ie.hook(hf)
    before, first = scores(model, method), model.spec.revision
    strength["by"] = 0.4
    after = scores(model, method)

    np.testing.assert_allclose(after, scores(ie.hook(hf), method), atol=1e-6)
    assert np.abs(after - before).max() > 1e-3
    assert (model.spec.weights, model.spec.revision != first) == ("changed in memory", True)


@pytest.mark.parametrize("number", [np.float64, np.float32, torch.tensor], ids=["float64", "float32", "tensor"])
def test_numbers_of_numpy_and_torch_on_a_module_are_followed(number: Callable[[float], Any]) -> None:
    hf = build("llama")
    model = ie.hook(hf)
    for scaling in (0.3, 0.6, 1.2):
        for layer in hf.model.layers:
            layer.self_attn.scaling = number(scaling)
        np.testing.assert_allclose(scores(model, "eap"), scores(ie.hook(hf), "eap"), atol=1e-6)


def test_a_hook_that_acts_on_one_token_is_refused_on_prompts_that_have_it() -> None:
    hf, seen, push = build("llama"), {}, torch.randn(build("llama").config.hidden_size)
    used = {*PAIRS.clean.flatten().tolist(), *PAIRS.corrupt.flatten().tolist()}
    rare = next(token for token in range(3, 40) if token not in used)

    def steer(module: nn.Module, args: Any, out: Any) -> torch.Tensor:
        stream = out if isinstance(out, torch.Tensor) else out[0]
        return stream + push * (seen["tokens"] == rare)[..., None]

    hf.model.embed_tokens.register_forward_hook(lambda module, args, out: seen.__setitem__("tokens", args[0]))
    hf.model.layers[0].register_forward_hook(steer)
    model = ie.hook(hf)
    ie.ablate(model, [], PAIRS)
    clean, corrupt = PAIRS.clean.clone(), PAIRS.corrupt.clone()
    clean[:, 0] = corrupt[:, 0] = rare
    with pytest.raises(ModelError, match=r"it carries forward hooks, on model\.embed_tokens: remove them"):
        ie.ablate(model, [], ie.PromptPairs(clean=clean, corrupt=corrupt, answer=PAIRS.answers, foil=PAIRS.foils))


class Rounding(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return super().forward(input.detach()) + 0 * input.sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_an_mlp_without_a_true_gradient_is_refused_in_every_precision(dtype: torch.dtype) -> None:
    hf = build("llama").to(dtype)
    ie.score(ie.hook(hf), PAIRS, method="eap")
    hf.model.layers[1].mlp.down_proj.__class__ = Rounding
    with pytest.raises(ModelError, match="the MLP of layer 1 has no gradient that predicts the effect of a change"):
        ie.score(ie.hook(hf), PAIRS, method="eap")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_norm_of_queries_without_a_true_gradient_is_refused(dtype: torch.dtype) -> None:
    hf = build("qwen3").to(dtype)
    ie.score(ie.hook(hf), PAIRS, method="eap")
    hf.model.layers[1].self_attn.q_norm.register_full_backward_hook(lambda module, given, made: (given[0] * 0,))
    with pytest.raises(ModelError, match="attention of layer 1 has no gradient that predicts the effect of a change"):
        ie.score(ie.hook(hf), PAIRS, method="eap")


@pytest.mark.parametrize("method", ["exact_edges", "activation_patching", "path_patching"])
def test_the_default_precision_of_the_process_changes_no_score(method: str) -> None:
    model = ie.hook(build("llama"))
    expected = scores(model, method)
    try:
        torch.set_default_dtype(torch.bfloat16)
        found = scores(model, method)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


def test_layers_that_are_dropped_and_a_vocabulary_that_shrinks_are_followed_at_once() -> None:
    hf = build("llama")
    model = ie.hook(hf)
    n_layers, n_tokens = model.graph.n_layers, len(model.ordinary_ids)
    hf.model.layers = hf.model.layers[:1]
    hf.config.num_hidden_layers = 1
    hf.resize_token_embeddings(20)

    assert (n_layers > 1, model.graph.n_layers) == (True, 1)
    assert max(model.ordinary_ids) < 20 < n_tokens


def test_an_unknown_word_is_refused_where_only_the_vocabulary_names_the_unknown_token() -> None:
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(20)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = ie.hook(build("llama"), tokenizer=PreTrainedTokenizerFast(tokenizer_object=words))

    assert model.encode("w3 w0") == [3, 0]
    with pytest.raises(InputError, match="has no token for a part of 'w3 elsewhere'"):
        model.encode("w3 elsewhere")
    with pytest.raises(InputError, match="prepend_bos = 'elsewhere' is not one token"):
        model.begin_with("elsewhere")


@pytest.mark.parametrize(
    "tokens",
    [
        torch.tensor([3, 4]),
        torch.ones(1, 3),
        torch.ones(1, 3, dtype=torch.bool),
        torch.ones(1, 3, dtype=torch.uint8),
        torch.ones(0, 3, dtype=torch.int64),
        torch.tensor([[3, 99999]]),
        torch.tensor([[-1, 3]]),
    ],
    ids=["one row", "floats", "bools", "bytes", "no row", "beyond", "below"],
)
def test_what_is_not_a_table_of_the_models_tokens_is_refused(tokens: torch.Tensor) -> None:
    model = ie.hook(build("llama"))
    with pytest.raises(InputError, match=r"give whole numbers of shape|give token ids of this model"):
        model.require_tokens(tokens)


def test_a_negative_token_in_a_list_of_answers_is_refused() -> None:
    with pytest.raises(InputError, match="answer holds the token id -5; give ids from 0 on"):
        ie.PromptPairs(clean=PAIRS.clean[:2], corrupt=PAIRS.corrupt[:2], answer=[[-5, 3], [6, 5]], foil=[7, 8])


def test_a_context_of_three_tokens_and_a_vocabulary_of_two_can_be_hooked() -> None:
    short = GPT2Config(vocab_size=2, n_embd=8, n_layer=1, n_head=2, n_positions=3, bos_token_id=0, eos_token_id=0)
    model = ie.hook(GPT2LMHeadModel(short))

    assert model.graph.n_layers == 1
    two = GPT2Config(vocab_size=2, n_embd=8, n_layer=1, n_head=2, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    assert ie.hook(GPT2LMHeadModel(two)).d_vocab == 2
    assert model.logits(torch.tensor([[0, 1, 1]])).shape == (1, 2)


def test_a_held_out_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    bundled = Path(families.__file__).parent / "miniature_weights"
    shutil.copytree(bundled / "3k" / "step0", tmp_path / "3k" / "step0")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled / name, tmp_path)
    (tmp_path / "held_out.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"held_out\.txt is not text in UTF-8 \(byte 3\); save it in UTF-8"):
        ie.load_family(str(tmp_path)).held_out_text()


@pytest.mark.parametrize("part", ["", "model"], ids=["the model", "its body"])
def test_a_model_compiled_in_place_and_used_before_hooking_scores_as_before(part: str) -> None:
    hf = build("llama")
    expected = scores(ie.hook(hf), "eap")
    inside = hf.get_submodule(part)
    inside.forward = torch.compile(inside.forward, backend="eager")
    hf(PAIRS.clean)
    np.testing.assert_allclose(scores(ie.hook(hf), "eap"), expected, atol=1e-6)
