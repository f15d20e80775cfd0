from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.patching import get_act_patch_attn_head_out_all_pos, get_act_patch_resid_pre

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.graph import Node
from interp_emerge.core.model import HookedModel
from tests.models.slow_model import SlowModel
from tests.models.small_models import (
    ARCHITECTURES,
    DENSE_FORMS,
    FORMS,
    PARALLEL_ARCHITECTURES,
    build,
    random_pairs as random_pairs_of,
    small_model,
)
from tests.patching.exact import exact_nodes, rises
from tests.patching.scored import score_nodes

HOOKS = {
    "embed": "hook_resid_pre",
    "resid_pre": "hook_resid_pre",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "pattern": "attn.hook_pattern",
    "head": "attn.hook_z",
    "attention": "hook_attn_out",
    "mlp": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
PATTERN_NOT_USED = ("gpt_neo", "opt", "gptj")
"""Architectures whose bridge ignores a pattern that a hook returns."""
LARGEST_ERROR = 1e-4
"""As a fraction of the largest effect. Right patches differ by up to 8e-6, patches at a wrong place by 0.5 or more."""


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    places = {"early": [1, 0, 2, 1, 1, 3], "late": [5, 4, 6, 5, 3, 5]}
    return replace_positions(random_pairs_of(), places)


def replace_positions(pairs: ie.PromptPairs, places: dict[str, list[int]]) -> ie.PromptPairs:
    return ie.PromptPairs(
        clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.answer, foil=pairs.foil, positions=places
    )


def model_with_bridge(architecture: str) -> HookedModel:
    """A small model that TransformerLens's bridge can run: it does not support Phi's norm of queries and keys."""
    return ie.hook(build("phi", qk_layernorm=False)) if architecture == "phi" else small_model(architecture)


@lru_cache(maxsize=1)
@torch.no_grad()
def clean_by_bridge(model: HookedModel, pairs: ie.PromptPairs) -> Any:
    """What TransformerLens records of the clean run."""
    return model.bridge.run_with_cache(pairs.clean)[1]


def effects_by_hooks(
    model: HookedModel, pairs: ie.PromptPairs, nodes: Sequence[Node], at: Tensor | None = None
) -> np.ndarray:
    """Rise of the metric with each node patched by a hook of TransformerLens, shape [pair, node]."""
    metric, found = bind_metric("logit_diff", model, pairs), []
    with torch.no_grad():
        before, clean = metric(model.logits(pairs.corrupt)), clean_by_bridge(model, pairs)
        for _, group in groupby(nodes, key=lambda node: (node.layer, node.kind)):
            logits = logits_by_hooks(model, pairs, clean, [*group], at)
            found.append(metric(logits.unflatten(0, (-1, len(pairs)))) - before)
    return torch.cat(found).T.numpy()


def logits_by_hooks(
    model: HookedModel, pairs: ie.PromptPairs, clean: Any, nodes: list[Node], at: Tensor | None
) -> Tensor:
    """Logits of copies of the corrupted prompts, with one node of one kind and layer patched in each copy."""
    kind, layer = nodes[0].kind, max(0, nodes[0].layer)
    there = torch.ones(pairs.clean.shape, dtype=torch.bool)
    if at is not None:
        there = torch.arange(pairs.length) == at[:, None]

    def put(value: Tensor, hook: Any) -> Tensor:
        heads_at = 1 if kind == "pattern" else 2
        shape, value, source = value.shape, value.clone(), clean[hook.name]
        if kind in ("q", "k", "v", "head"):
            n_heads = model.graph.n_kv_heads if kind in "kv" else model.graph.n_heads
            value, source = (x.view(*x.shape[:2], n_heads, -1) for x in (value, source))
        for copy, node in enumerate(nodes):
            mask = there.view(*there.shape, *[1] * (source.ndim - 2))
            if kind == "pattern":
                mask = mask.transpose(1, 2)
            if source.ndim == 4:
                mask = mask & (torch.arange(source.shape[heads_at]) == node.index).view(
                    [-1 if axis == heads_at else 1 for axis in range(4)]
                )
            rows = slice(copy * len(pairs), (copy + 1) * len(pairs))
            value[rows] = torch.where(mask, source, value[rows])
        return value.view(shape)

    hooks = [(f"blocks.{layer}.{HOOKS[kind]}", put)]
    return model.bridge.run_with_hooks(pairs.corrupt.repeat(len(nodes), 1), fwd_hooks=hooks)[:, -1]


def assert_equal_effects(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() < LARGEST_ERROR * np.abs(expected).max()


@pytest.mark.parametrize("architecture", DENSE_FORMS)
def test_every_node_has_the_effect_of_patching_it_by_transformer_lens_hooks(architecture: str, pairs: ie.PromptPairs):
    model = model_with_bridge(architecture)
    for kind in HOOKS:
        if kind == "pattern" and architecture in PATTERN_NOT_USED:
            continue
        scores = score_nodes(model, pairs, "activation_patching", sites=kind)
        assert_equal_effects(scores.per_pair, effects_by_hooks(model, pairs, scores.nodes))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gpt_neox_serial", "bloom", "mistral", "olmo2"])
def test_a_node_patched_at_one_position_has_the_effect_of_a_hook_there(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    scores = score_nodes(model, pairs, "activation_patching", sites=[*HOOKS], positions=["early", "late"])
    assert scores.positions == ("early", "late")
    for place, name in enumerate(("early", "late")):
        expected = effects_by_hooks(model, pairs, scores.nodes, at=pairs.positions[name])
        assert_equal_effects(scores.per_pair[:, place], expected)


@pytest.mark.parametrize("architecture", FORMS)
def test_every_writer_has_the_effect_that_a_slow_model_gives(architecture: str, pairs: ie.PromptPairs):
    if architecture in ("gemma2", "gemma3", "olmo2"):
        pytest.skip("behind a norm a patched head rescales the others, whose terms the slow model leaves alone")
    model = small_model(architecture)
    assert_equal_effects(score_nodes(model, pairs, "activation_patching").per_pair, exact_nodes(model, pairs))


@pytest.mark.parametrize("architecture", [name for name in FORMS if name not in PARALLEL_ARCHITECTURES])
def test_the_stream_within_a_block_is_patched_for_its_mlp_and_all_that_follows(
    architecture: str, pairs: ie.PromptPairs
):
    # TransformerLens's hook_resid_mid is only the input of the MLP's norm, without the skip connection.
    model = small_model(architecture)
    graph, cells = model.graph, []
    for layer in range(graph.n_layers):
        n_writers = graph.n_writers_before(Node(layer, "mlp"))
        readers = graph.reader_names[graph.readers.index(Node(layer, "mlp")) :]
        cells.append([(writer, reader) for writer in graph.writer_names[:n_writers] for reader in readers])
    found = score_nodes(model, pairs, "activation_patching", sites="resid_mid").per_pair
    assert_equal_effects(found, rises(model, pairs.corrupt, pairs.clean, pairs, cells))


class PatternsPut(SlowModel):
    """A slow model in which a head attends as it did in another run."""

    def __init__(self, hf: Any) -> None:
        super().__init__(hf)
        self.seen: dict[tuple[int, int], Tensor] = {}
        self.put: dict[tuple[int, int], Tensor] = {}

    def pattern(self, layer: int, head: int, q: Tensor, k: Tensor) -> Tensor:
        self.seen[layer, head] = super().pattern(layer, head, q, k)
        return self.put.get((layer, head), self.seen[layer, head])


@torch.no_grad()
@pytest.mark.parametrize("architecture", PATTERN_NOT_USED)
def test_patterns_have_the_effect_that_a_slow_model_gives_where_a_hook_has_none(
    architecture: str, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    metric, slow = bind_metric("logit_diff", model, pairs), PatternsPut(model.hf)
    slow.run(pairs.clean)
    clean, before = dict(slow.seen), metric(slow.run(pairs.corrupt)[0])
    scores = score_nodes(model, pairs, "activation_patching", sites="pattern")
    expected = []
    for node in scores.nodes:
        slow.put = {(node.layer, node.index): clean[node.layer, node.index]}
        expected.append(metric(slow.run(pairs.corrupt)[0]) - before)
    assert_equal_effects(scores.per_pair, torch.stack(expected, 1).numpy())


@torch.no_grad()
def test_sweeps_are_those_of_transformer_lens(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    metric = bind_metric("logit_diff", model, pairs)
    corrupt = metric(model.logits(pairs.corrupt)).mean()
    _, clean = model.bridge.run_with_cache(pairs.clean)
    heads, streams = (
        sweep(model.bridge, pairs.corrupt, clean, lambda logits: metric(logits[:, -1]).mean()) - corrupt
        for sweep in (get_act_patch_attn_head_out_all_pos, get_act_patch_resid_pre)
    )
    found = score_nodes(model, pairs, "activation_patching", sites="head").scores
    np.testing.assert_allclose(found.reshape(3, 4), heads, atol=1e-5)
    found = score_nodes(model, pairs, "activation_patching", sites="resid_pre", positions="all").scores
    np.testing.assert_allclose(found.T, streams, atol=1e-5)


def kinds_of(model: HookedModel) -> list[str]:
    return [*HOOKS, *([] if model.graph.parallel else ["resid_mid"])]


@pytest.mark.parametrize("positions", [None, "all"])
@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2", "olmo2"])
def test_noising_is_minus_denoising_with_clean_and_corrupted_prompts_exchanged(
    architecture: str, positions: str | None, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    options = {"sites": kinds_of(model), "positions": positions}
    exchanged = replace_prompts(pairs, clean=pairs.corrupt, corrupt=pairs.clean)
    noising = score_nodes(model, pairs, "activation_patching", direction="noising", **options).per_pair
    denoising = score_nodes(model, exchanged, "activation_patching", **options).per_pair
    assert np.abs(noising).max() > 0.3
    np.testing.assert_allclose(noising, -denoising, atol=2e-5)


def replace_prompts(pairs: ie.PromptPairs, *, clean: Tensor, corrupt: Tensor) -> ie.PromptPairs:
    return replace(replace_positions(pairs, {}), clean=clean, corrupt=corrupt)


@pytest.mark.parametrize("positions", [None, "all", ["early", "late"]])
@pytest.mark.parametrize("metric", ["logit_diff", "kl"])
def test_a_small_budget_gives_the_same_scores(metric: str, positions: Any, pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    options = {"sites": kinds_of(model), "positions": positions, "metric": metric}
    found = score_nodes(model, pairs, "activation_patching", **options).per_pair
    small = score_nodes(model, pairs, "activation_patching", budget=300_000, **options).per_pair
    assert np.abs(found).max() > 0.3
    np.testing.assert_allclose(small, found, atol=1e-5)


def test_patching_the_embedding_brings_the_whole_clean_run_back(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    metric = bind_metric("logit_diff", model, pairs)
    with torch.no_grad():
        gap = metric(model.logits(pairs.clean)) - metric(model.logits(pairs.corrupt))
    found = score_nodes(model, pairs, "activation_patching", sites=["embed", "resid_pre", "resid_post"]).per_pair
    np.testing.assert_allclose(found, gap[:, None].expand(-1, 7), atol=2e-5)


def test_where_one_token_differs_patching_the_embedding_there_is_patching_all_of_it(pairs: ie.PromptPairs):
    model, corrupt = small_model("gpt_neox"), pairs.clean.clone()
    corrupt[:, 2] = 1 + corrupt[:, 2] % 39
    one = replace_prompts(pairs, clean=pairs.clean, corrupt=corrupt)
    resolved = score_nodes(model, one, "activation_patching", sites="embed", positions="all").per_pair
    together = score_nodes(model, one, "activation_patching", sites="embed").per_pair
    assert np.abs(together).max() > 0.3
    np.testing.assert_allclose(np.delete(resolved, 2, 1), 0, atol=1e-5)
    np.testing.assert_allclose(resolved[:, 2], together, atol=1e-5)


def test_a_pair_that_does_not_differ_scores_exactly_zero(pairs: ie.PromptPairs):
    model, corrupt = small_model("gpt2"), pairs.corrupt.clone()
    corrupt[2] = pairs.clean[2]
    found = score_nodes(
        model, replace_prompts(pairs, clean=pairs.clean, corrupt=corrupt), "activation_patching", sites=kinds_of(model)
    ).per_pair
    assert not found[2].any()
    assert np.abs(np.delete(found, 2, 0)).max(1).min() > 0.3


def test_the_stream_within_a_parallel_block_is_refused(pairs: ie.PromptPairs):
    with pytest.raises(UnknownNameError, match="unknown site 'resid_mid'; did you mean 'resid_"):
        score_nodes(small_model("gpt_neox"), pairs, "activation_patching", sites="resid_mid")
