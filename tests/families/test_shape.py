"""The graph and the widths that a configuration describes, without a model."""

import pytest
from transformers import (
    AutoConfig,
    CohereConfig,
    FalconConfig,
    Glm4Config,
    GPT2Config,
    GPTBigCodeConfig,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MptConfig,
    Olmo2Config,
    PhiConfig,
    PreTrainedConfig,
)

from interp_emerge.core.errors import InputError
from interp_emerge.families._split.shape import graph_of_config

PYTHIA = {
    "14m": (6, 4, 1_084),
    "70m": (6, 8, 3_580),
    "160m": (12, 12, 32_347),
    "410m": (24, 16, 231_493),
    "1b": (16, 8, 27_545),
    "1.4b": (24, 16, 231_493),
    "2.8b": (32, 32, 1_591_857),
}


def test_gpt2_small_has_as_many_edges_as_the_literature_counts():
    assert graph_of_config(GPT2Config()).n_edges == 32_491


@pytest.mark.parametrize("size", PYTHIA)
def test_every_pythia_has_as_many_edges_as_the_literature_counts(size: str):
    layers, heads, edges = PYTHIA[size]
    config = GPTNeoXConfig(num_hidden_layers=layers, num_attention_heads=heads, hidden_size=16 * heads)
    assert graph_of_config(config).n_edges == edges


def test_a_configuration_says_whether_blocks_are_parallel_and_how_many_keys_there_are():
    assert graph_of_config(GPTNeoXConfig()).parallel
    assert not graph_of_config(GPTNeoXConfig(use_parallel_residual=False)).parallel
    assert not graph_of_config(LlamaConfig()).parallel
    for config in (PhiConfig(), GPTJConfig(), CohereConfig()):
        assert graph_of_config(config).parallel
    assert not graph_of_config(MptConfig()).parallel
    assert graph_of_config(FalconConfig(parallel_attn=True)).parallel
    assert not graph_of_config(FalconConfig(parallel_attn=False)).parallel
    assert graph_of_config(Olmo2Config()).joined and not graph_of_config(LlamaConfig()).joined
    assert graph_of_config(LlamaConfig(num_attention_heads=32, num_key_value_heads=8)).n_kv_heads == 8
    assert graph_of_config(GPT2Config(n_head=6)).n_kv_heads == 6
    assert graph_of_config(Glm4Config()).rescaled and not graph_of_config(LlamaConfig()).rescaled


def test_keys_and_values_are_counted_as_the_code_of_falcon_and_gpt_bigcode_counts_them():
    def count(config: PreTrainedConfig) -> int:
        return graph_of_config(config).n_kv_heads

    assert count(FalconConfig(num_attention_heads=8, multi_query=True, num_kv_heads=4)) == 1
    assert count(FalconConfig(num_attention_heads=8, multi_query=False)) == 8
    grouped = {"num_attention_heads": 8, "num_kv_heads": 4, "new_decoder_architecture": True}
    assert count(FalconConfig(**grouped, multi_query=True)) == count(FalconConfig(**grouped, multi_query=False)) == 4
    assert count(GPTBigCodeConfig(n_head=6, multi_query=True)) == 1
    assert count(GPTBigCodeConfig(n_head=6, multi_query=False)) == 6
    # The configuration counts keys before it reads a number of heads given under the other name.
    late = AutoConfig.for_model("gpt_bigcode", num_attention_heads=6, multi_query=False)
    assert late.num_key_value_heads == 12 and count(late) == 6


def test_a_configuration_without_one_number_of_layers_is_refused():
    with pytest.raises(
        InputError, match="object does not give one number of layers and heads; pass the configuration of a decoder"
    ):
        graph_of_config(object())
