"""Every architecture is read as its configuration says, and what cannot be split is refused with the reason."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import interp_emerge as ie
from interp_emerge.core.errors import ModelError
from interp_emerge.core.graph import Graph
from interp_emerge.families._anatomy import LAYOUTS, find_decoder
from tests.core.small_models import CONFIGURATIONS, EVERY_ARCHITECTURE, SHAPE, build, small_model
from tests.families.tiny import WHOLE, some_tokens, tiny_model


def test_every_layout_describes_an_architecture_that_is_tested():
    described = "; ".join(LAYOUTS).lower().replace(" ", "").replace("-", "")
    for name in ("gemma2", "gemma3", "olmo2", "llama", "mistral", "qwen", "olmo", "phi", "gptneox", "bloom", "opt"):
        assert name in described
        assert any(kind.replace("_", "").startswith(name) for kind, _ in CONFIGURATIONS.values())


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_graph_of_the_configuration_is_that_of_the_modules(architecture: str):
    model = small_model(architecture)
    graph = Graph.from_config(model.hf.config)
    assert graph == model.graph
    assert len(model.decoder.blocks) == graph.n_layers == 3
    for block in model.decoder.blocks:
        heads = [side.weight().shape[0] for side in (block.q, block.k, block.v)]
        assert heads == [graph.n_heads, graph.n_kv_heads, graph.n_kv_heads]
        assert block.parallel is graph.parallel
        assert block.attention.joins_heads is graph.joined
    assert graph.parallel is (architecture in ("gpt_neox", "phi"))
    assert graph.joined is (architecture == "olmo2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 2}, "the number of layers is 2 by the configuration and 3 by the modules of layer 0"),
        ({"num_key_value_heads": 1}, "its parts do not run by themselves|the number of keys"),
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
    with pytest.raises(ModelError, match="whether one norm runs over all heads is not the same in layer 2 as in the"):
        find_decoder(hf)


def test_one_head_joins_nothing_though_its_norm_would_run_over_all():
    hf = build("olmo2", num_attention_heads=1, num_key_value_heads=1)
    assert not ie.hook(hf).decoder.blocks[0].attention.joins_heads


@pytest.mark.parametrize("architecture", WHOLE)
def test_what_cannot_be_split_is_refused_with_the_reason_in_one_line(architecture: str):
    model = ie.hook(tiny_model(architecture))
    message = f"'{architecture}' is not split into heads and edges: .*{WHOLE[architecture][1]}; abilities are measured "
    with pytest.raises(ModelError, match=message + r"all the same, and `\.bridge` is there where") as refusal:
        _ = model.decoder
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("architecture", WHOLE)
def test_what_the_refusal_says_still_works_does(architecture: str):
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
