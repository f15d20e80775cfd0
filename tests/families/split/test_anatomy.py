"""Every architecture is read as its configuration says; one that cannot be split is refused with the reason."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import interp_emerge as ie
from interp_emerge.caching.recording import final_logits, record
from interp_emerge.core.errors import ModelError
from interp_emerge.families._split.anatomy import find_decoder, layout_of
from interp_emerge.families._split.layouts import LAYOUTS
from interp_emerge.families._split.shape import graph_of_config
from tests.families.tiny import WHOLE, some_tokens, tiny_model
from tests.models.small_models import (
    EVERY_ARCHITECTURE,
    GROUPED,
    NO_DROPOUT,
    PARALLEL_ARCHITECTURES,
    SHAPE,
    VOCABULARY,
    WIDTH,
    build,
    draw_parameters,
    partly_rotary,
    small_model,
)

WIDE = GROUPED | {"head_dim": 8}
WINDOW = GROUPED | {"sliding_window": 4}
MBART = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 2 * WIDTH))
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "codegen": ("codegen", NO_DROPOUT | {"n_inner": 2 * WIDTH, "rotary_dim": 4}),
    "falcon, one norm": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "falcon, one after the other": ("falcon", {"multi_query": False, "parallel_attn": False, "bias": True}),
    "mpt, unclipped": ("mpt", {"max_seq_len": 64}),
    "cohere, no norms of queries and keys": ("cohere", GROUPED),
    "cohere, no shared keys": ("cohere", {"num_key_value_heads": 4, "use_qk_norm": True}),
    "cohere2": ("cohere2", WINDOW),
    "phi3": ("phi3", GROUPED),
    "glm": ("glm", WIDE),
    "glm4": ("glm4", WIDE),
    "ernie4_5": ("ernie4_5", WIDE),
    "persimmon": ("persimmon", partly_rotary(0.67)),
    "gpt_bigcode": ("gpt_bigcode", NO_DROPOUT | {"n_inner": 2 * WIDTH, "multi_query": True}),
    "gpt_bigcode, no shared keys": ("gpt_bigcode", NO_DROPOUT | {"n_inner": 2 * WIDTH, "multi_query": False}),
    "apertus": ("apertus", GROUPED),
    "vaultgemma": ("vaultgemma", WIDE | {"sliding_window": 4}),
    "exaone4": ("exaone4", WINDOW | {"sliding_window_pattern": 2}),
    "mbart": ("mbart", {"d_model": WIDTH, "dropout": 0.0, **MBART}),
    "xglm": (
        "xglm",
        {"d_model": WIDTH, "ffn_dim": 2 * WIDTH, "num_layers": 2, "attention_heads": 4, "dropout": 0.0},
    ),
    "biogpt": ("biogpt", {"hidden_dropout_prob": 0.0}),
}
"""Architectures that have a layout, but that no other test analyses fully."""


def some_model(name: str) -> Any:
    kind, more = OTHERS[name]
    config = AutoConfig.for_model(kind, **SHAPE | {"num_hidden_layers": 2} | more)
    return draw_parameters(AutoModelForCausalLM.from_config(config), 0).eval()


def test_every_layout_describes_an_architecture_that_is_tested():
    models = [*map(build, EVERY_ARCHITECTURE), *map(some_model, OTHERS)]
    assert {layout_of(hf) for hf in models} == {*LAYOUTS.values()}


@torch.no_grad()
@pytest.mark.parametrize("length", [7, 25])
@pytest.mark.parametrize("name", OTHERS)
def test_an_architecture_under_a_layout_is_split_and_gives_the_plain_models_logits(name: str, length: int):
    hf = some_model(name)
    model = ie.hook(hf)
    tokens = torch.randint(1, VOCABULARY, (3, length), generator=torch.Generator().manual_seed(length))
    expected = hf(input_ids=tokens).logits[:, -1]
    assert graph_of_config(hf.config) == model.graph
    # Largest difference 1.2e-6.
    difference = (final_logits(model, record(model, tokens)) - expected).abs().max()
    assert difference < 1e-5 * expected.std()


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_graph_of_the_configuration_is_that_of_the_modules(architecture: str):
    model = small_model(architecture)
    graph = graph_of_config(model.hf.config)
    assert graph == model.graph
    assert len(model.decoder.blocks) == graph.n_layers == 3
    for block in model.decoder.blocks:
        heads = [side.weight().shape[0] for side in (block.q, block.k, block.v)]
        assert heads == [graph.n_heads, graph.n_kv_heads, graph.n_kv_heads]
        assert block.parallel is graph.parallel
        assert block.attention.joins_heads is graph.joined
    assert graph.parallel is (architecture in PARALLEL_ARCHITECTURES)
    assert graph.joined is (architecture == "olmo2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 2}, "the number of layers is 2 in the configuration but 3 in the modules"),
        ({"num_key_value_heads": 1}, "its parts cannot be run on their own|the number of keys"),
    ],
)
def test_a_configuration_that_does_not_fit_the_modules_is_refused(change: dict, message: str):
    hf = build("llama_grouped")
    for name, value in change.items():
        object.__setattr__(hf.config, name, value)
    with pytest.raises(ModelError, match=message):
        find_decoder(hf)


def test_blocks_of_different_forms_are_refused():
    hf = build("olmo2")
    hf.model.layers[2].self_attn.q_norm = nn.Identity()
    with pytest.raises(ModelError, match="whether one norm runs over all heads differs between layer 2 and the first"):
        find_decoder(hf)


def test_a_single_head_is_not_joined_by_a_norm_over_all_heads():
    hf = build("olmo2", num_attention_heads=1, num_key_value_heads=1)
    assert not ie.hook(hf).decoder.blocks[0].attention.joins_heads


@pytest.mark.parametrize("architecture", WHOLE)
def test_a_model_that_cannot_be_split_is_refused_with_the_reason_in_one_line(architecture: str):
    model = ie.hook(tiny_model(architecture))
    message = f"'{architecture}' is not split into heads and edges: .*{WHOLE[architecture][1]}.*; abilities can still "
    with pytest.raises(ModelError, match=message + r"be measured, and `\.bridge` works if TransformerLens") as refusal:
        _ = model.decoder
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("architecture", WHOLE)
def test_logits_and_bridge_work_for_a_model_that_is_not_split(architecture: str):
    model, tokens = ie.hook(tiny_model(architecture)), some_tokens()
    with torch.no_grad():
        logits = model.hf(input_ids=tokens).logits
        torch.testing.assert_close(model.logits(tokens), logits[:, -1], rtol=0, atol=1e-5)
        if architecture != "opt":  # TransformerLens looks for the last norm, which OPT-350m lacks
            torch.testing.assert_close(model.bridge(tokens), logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["granite", "gemma", "starcoder2", "olmo3", "exaone4", "smollm3"])
def test_an_architecture_that_has_a_known_form_is_split_whatever_its_name(architecture: str):
    config = AutoConfig.for_model(architecture, **SHAPE, num_hidden_layers=2, num_key_value_heads=2)
    model = ie.hook(AutoModelForCausalLM.from_config(config))
    assert len(model.decoder.blocks) == 2
