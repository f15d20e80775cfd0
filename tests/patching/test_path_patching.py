from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from tests.models.slow_model import SlowModel, Written
from tests.models.small_models import ARCHITECTURES, FORMS, random_pairs, small_model
from tests.patching.exact import exact_edges, rises
from tests.patching.scored import score_nodes

LARGEST_ERROR = 1e-4
"""As a fraction of the largest effect. Right scores differ by up to 1e-5."""


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


def receivers_in(model: HookedModel) -> dict[str, tuple[str, ...]]:
    """Receivers of every kind, alone and together, in one layer and in several."""
    n_keys = model.graph.n_kv_heads
    kv = f"kv{min(1, n_keys - 1)}" if n_keys != model.graph.n_heads else "h1"
    return {
        "logits": ("logits",),
        "a query": ("a2.h1.q",),
        "a key and a value": (f"a1.{kv}.k", f"a1.{kv}.v"),
        "an MLP": ("m1",),
        "attention and MLP of one layer": ("a1.h0.q", "a1.h3.q", f"a1.{kv}.v", "m1"),
        "several layers": ("a1.h2.q", f"a2.{kv}.k", "m2", "logits"),
        "the last layer": ("a2.h0.q", f"a2.{kv}.v"),
    }


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 0.01
    assert np.abs(found - expected).max() < LARGEST_ERROR * np.abs(expected).max()


@pytest.mark.parametrize("architecture", FORMS)
def test_a_score_is_the_rise_when_all_receivers_take_the_clean_term_of_the_sender(
    architecture: str, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    for receivers in receivers_in(model).values():
        scores = score_nodes(model, pairs, "path_patching", receivers=receivers)
        edges = [[(node.name, receiver) for receiver in receivers] for node in scores.nodes]
        exists = [[edge for edge in cell if is_edge(model, edge)] for cell in edges]
        assert_close(scores.per_pair, rises(model, pairs.corrupt, pairs.clean, pairs, exists))


def is_edge(model: HookedModel, edge: tuple[str, str]) -> bool:
    graph = model.graph
    return bool(graph.exists[graph.writer_names.index(edge[0]), graph.reader_names.index(edge[1])])


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_with_one_receiver_it_is_exact_edge_patching(direction: str, pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    expected = exact_edges(model, pairs, direction=direction)
    for column, reader in enumerate(model.graph.reader_names):
        scores = score_nodes(model, pairs, "path_patching", receivers=reader, direction=direction)
        exists = model.graph.exists[:, column]
        assert [node.name for node in scores.nodes] == list(np.array(model.graph.writer_names)[exists])
        np.testing.assert_allclose(scores.scores, expected[exists, column], atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads_reach_the_logits_directly_as_with_transformer_lens_hooks(architecture: str, pairs: ie.PromptPairs):
    if architecture == "gemma2":
        pytest.skip("behind a norm the hooks of heads do not give what they add to the stream")
    model = small_model(architecture)
    metric = bind_metric("logit_diff", model, pairs)
    with torch.no_grad():
        clean, corrupt = (model.bridge.run_with_cache(tokens)[1] for tokens in (pairs.clean, pairs.corrupt))
        base, expected = metric(model.logits(pairs.corrupt)), []
        for layer in range(3):
            weight = model.decoder.blocks[layer].attention_out.weight().unflatten(1, (4, -1))
            change = clean[f"blocks.{layer}.attn.hook_z"] - corrupt[f"blocks.{layer}.attn.hook_z"]
            for head in range(4):
                term = change.view(*change.shape[:2], 4, -1)[:, :, head] @ weight[:, head].T
                hooks = [("blocks.2.hook_resid_post", lambda stream, hook, term=term: stream + term)]
                expected.append(metric(model.bridge.run_with_hooks(pairs.corrupt, fwd_hooks=hooks)[:, -1]) - base)
    heads = [name for name in model.graph.writer_names if name.startswith("a")]
    scores = score_nodes(model, pairs, "path_patching", senders=heads)
    assert [node.name for node in scores.nodes] == heads
    assert_close(scores.per_pair, torch.stack(expected, 1).numpy())


@torch.no_grad()
def slow_with_live_mlps(
    model: HookedModel, pairs: ie.PromptPairs, senders: Sequence[str], receivers: tuple[str, ...]
) -> Tensor:
    """The rise with heads between frozen and MLPs computed again, in two runs as Wang et al. (2022) describe them.

    Shape [pair, sender]. All senders run together, each in its own copy of the prompts.
    """
    slow, metric = SlowModel(model.hf), bind_metric("logit_diff", model, pairs)
    tokens = pairs.corrupt.repeat(len(senders), 1)
    clean, (logits, corrupt) = slow.run(pairs.clean)[1], slow.run(tokens)
    copies = {name: slice(copy * len(pairs), (copy + 1) * len(pairs)) for copy, name in enumerate(senders)}

    def term(written: Written, given: Written) -> Tensor:
        """What the sender and the MLPs that it moved add to the corrupted stream, in each copy."""
        total = sum((given[name] - corrupt[name] for name in written), start=torch.zeros_like(corrupt["embed"]))
        for sender, rows in copies.items():
            if sender in written:
                total[rows] += clean[sender] - given[sender][rows]
        return total

    def between(reader: str, written: Written) -> Tensor:
        frozen = reader[0] == "a" or reader in receivers
        back = sum((corrupt[name] - written[name] for name in written), start=torch.zeros_like(corrupt["embed"]))
        return back if frozen else back + term(written, written)

    carried = slow.run(tokens, between)[1]

    def receive(reader: str, written: Written) -> Tensor:
        return term(written, carried) if reader in receivers else torch.zeros_like(corrupt["embed"])

    moved = slow.run(tokens, receive)[0]
    return (metric(moved.unflatten(0, (-1, len(pairs)))) - metric(logits.unflatten(0, (-1, len(pairs))))).T


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "olmo2"])
def test_live_mlps_between_sender_and_receivers_are_computed_again(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    for receivers in receivers_in(model).values():
        live = score_nodes(model, pairs, "path_patching", receivers=receivers, mlps="live")
        expected = slow_with_live_mlps(model, pairs, [node.name for node in live.nodes], receivers)
        assert_close(live.per_pair, expected.numpy())
    frozen = score_nodes(model, pairs, "path_patching", mlps="frozen")
    live = score_nodes(model, pairs, "path_patching", mlps="live")
    assert np.abs(live.per_pair - frozen.per_pair).max() > 0.1


@pytest.mark.parametrize("mlps", ["frozen", "live"])
def test_noising_is_minus_denoising_with_clean_and_corrupted_prompts_exchanged(mlps: str, pairs: ie.PromptPairs):
    exchanged = ie.PromptPairs(clean=pairs.corrupt, corrupt=pairs.clean, answer=pairs.answer, foil=pairs.foil)
    options: dict[str, Any] = {"receivers": ("a1.h1.q", "m2"), "mlps": mlps}
    model = small_model("gpt2")
    noising = score_nodes(model, pairs, "path_patching", direction="noising", **options).per_pair
    assert np.abs(noising).max() > 0.05
    denoising = score_nodes(model, exchanged, "path_patching", **options).per_pair
    np.testing.assert_allclose(noising, -denoising, atol=1e-5)


@pytest.mark.parametrize("mlps", ["frozen", "live"])
def test_a_small_budget_gives_the_same_scores(mlps: str, pairs: ie.PromptPairs):
    options: dict[str, Any] = {"receivers": ("a1.h1.q", "m2", "logits"), "mlps": mlps}
    model = small_model("gpt2")
    found = score_nodes(model, pairs, "path_patching", **options).per_pair
    np.testing.assert_allclose(
        score_nodes(model, pairs, "path_patching", budget=300_000, **options).per_pair, found, atol=1e-5
    )


def test_names_that_the_graph_lacks_are_refused(pairs: ie.PromptPairs):
    model = small_model("llama_grouped")
    with pytest.raises(UnknownNameError, match=r"unknown receiver 'a1\.h1\.k'; did you mean"):
        score_nodes(model, pairs, "path_patching", receivers="a1.h1.k")
    with pytest.raises(UnknownNameError, match=r"unknown sender 'm7'; did you mean 'm"):
        score_nodes(model, pairs, "path_patching", senders="m7")


def test_a_sender_from_which_no_path_leads_to_a_receiver_is_refused(pairs: ie.PromptPairs):
    with pytest.raises(InputError, match=r"no path leads from m2 to a1\.h0\.q"):
        score_nodes(small_model("gpt2"), pairs, "path_patching", receivers="a1.h0.q", senders=["m0", "m2"])
