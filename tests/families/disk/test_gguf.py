"""A GGUF file is a family of one model; the file is made here, in full precision, by the package that reads it."""

from importlib.util import find_spec
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InterpEmergeError, ModelError
from interp_emerge.families._disk import gguf
from tests.families.tiny import some_tokens, tiny_model
from tests.models.computed_apart import assert_same_logits

needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="the package gguf is not installed")


def write_llama(path: Path, seed: int = 0) -> object:
    """A tiny Llama in float32 in the names that llama.cpp gives, with a byte-level tokenizer of its words."""
    import gguf as library

    hf = tiny_model("llama", seed, attention_bias=False, mlp_bias=False)
    writer, config = library.GGUFWriter(path, "llama"), hf.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    words = ["<|endoftext|>", *(chr(33 + i) for i in range(config.vocab_size - 2)), '!"']
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_merges(['! "'])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = hf.state_dict()
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(ours)
            if heads:  # llama.cpp interleaves the two halves of each head
                weight = weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
            writer.add_tensor(f"blk.{layer}.{ours}.weight", weight.contiguous().numpy())
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    writer.add_tensor("output.weight", state["lm_head.weight"].numpy())
    for write in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ):
        write()
    return hf


@needs_gguf
def test_a_file_and_a_directory_that_holds_one_are_the_same_model(tmp_path: Path):
    hf = write_llama(tmp_path / "tiny.gguf")
    family = ie.load_family(tmp_path / "tiny.gguf")
    assert (family.name, family.sizes, family.steps("tiny")) == ("tiny", ["tiny"], [0])
    model = family.load("tiny")
    tokens = some_tokens()
    assert_same_logits(model.logits(tokens), hf(input_ids=tokens).logits[:, -1])  # pyright: ignore[reportCallIssue]
    assert_same_logits(model.bridge(tokens)[:, -1], model.logits(tokens))
    assert model.encode("!") == [1]
    assert ie.load_family(tmp_path).spec("tiny") == family.spec("tiny") == model.spec
    assert ie.load_family(family.address).sizes == family.sizes


@needs_gguf
def test_other_weights_have_another_revision(tmp_path: Path):
    revisions = []
    for seed in (0, 1):
        write_llama(tmp_path / "tiny.gguf", seed)
        revisions.append(ie.load_family(tmp_path).spec("tiny").revision)
    assert revisions[0] != revisions[1]


@needs_gguf
def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelError, match=r"bad.gguf cannot be read as a GGUF model \(.*\); copy or download it again"):
        ie.load_family(tmp_path / "bad.gguf").load("bad")


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(gguf, "find_spec", lambda _: None)
    for place in (tmp_path, tmp_path / "model.gguf"):
        with pytest.raises(
            ModelError, match=r"needs the package gguf; install it with `pip install 'interp-emerge\[gguf"
        ):
            ie.load_family(place)


def test_of_several_files_one_has_to_be_named(tmp_path: Path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InterpEmergeError, match=r"holds 2 GGUF files \(a.gguf, …\); name one of them"):
        ie.load_family(tmp_path)
