"""Models with weights set by hand do what they were set to do, and load like any other checkpoint."""

from pathlib import Path

import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.families._handset.weights import BOS, SHARPNESS, Handset, Stream, new_gpt2, new_llama
from interp_emerge.families.handset import HandsetFamily
from tests.models.computed_apart import assert_same_logits

FAMILY = HandsetFamily()
PROMPT = torch.tensor([[BOS, 5, 9, 17, 3, 20, 9], [BOS, 1, 2, 3, 4, 5, 6]])


@pytest.fixture(params=FAMILY.sizes)
def size(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_written_to_a_directory_they_load_again_with_the_same_logits(tmp_path: Path):
    FAMILY.write(tmp_path)
    again = ie.load_family(tmp_path)
    assert again.sizes == FAMILY.sizes
    for size in FAMILY.sizes:
        assert again.steps(size) == FAMILY.steps(size) == [0, 1]
        model = again.load(size)
        assert_same_logits(model.logits(PROMPT), FAMILY.load(size).logits(PROMPT))
        assert model.tokenizer is None and len(model.ordinary_ids) >= 16


@torch.no_grad()
def test_the_bridge_gives_the_same_logits(size: str):
    model = FAMILY.load(size)
    assert torch.allclose(model.bridge(PROMPT), model.hf(input_ids=PROMPT).logits, atol=1e-5)


def test_the_true_edges_are_edges_of_the_model(size: str):
    construction, graph = FAMILY.construction(size), FAMILY.load(size).graph
    true, silent = graph.edge_matrix(construction.edges), graph.edge_matrix(construction.silent)
    assert graph.exists[true].all() and not (true & silent).any()
    assert (graph.prune(true) == true).all()
    assert true.sum() < graph.n_edges / 4


@torch.no_grad()
def test_a_repeated_token_is_continued_in_half_precision_too():
    for size in ("induction", "induction_grouped"):
        for dtype in ("float32", "bfloat16"):
            assert FAMILY.load(size, dtype=dtype).logits(PROMPT).argmax(1).tolist() == [17, BOS]


@torch.no_grad()
@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("distance", [0, 1, 3])
def test_a_head_that_looks_back_attends_to_one_distance_only(positions: str, distance: int):
    rotary = positions == "rotary"
    stream = Stream(tok=24, out=24) if rotary else Stream(tok=24, pos=40, out=24)
    hf = (
        new_llama(stream, layers=1, heads=2, kv_heads=1, hidden=4)
        if rotary
        else new_gpt2(stream, layers=1, heads=2, hidden=4)
    )
    model = Handset(hf, stream)
    model.look_back(0, 1, distance, reads=stream["tok"], writes=stream.to("out"))
    model.look_back(0, 0, distance, reads=stream["tok"], writes=0 * stream.to("out"))
    tokens = torch.randint(24, (1, 40), generator=torch.Generator().manual_seed(0))
    block = model.blocks[0]
    q, k, _ = block.project(block.attention_norm(ie.hook(hf).decoder.embed(tokens)))
    pattern = block.attention.pattern(q, k)[0, 1]
    there = torch.arange(distance, 40)
    assert float(pattern[there, there - distance].min()) > 1 - 40 * torch.tensor(-SHARPNESS).exp()
    assert torch.equal(hf(input_ids=tokens).logits[0, distance:].argmax(1), tokens[0, : 40 - distance])


@torch.no_grad()
def test_norms_leave_features_as_they_are():
    stream = Stream(tok=24, pos=40, out=24)
    model = Handset(new_gpt2(stream, layers=1, heads=1, hidden=4), stream)
    written = ie.hook(model.hf).decoder.embed(PROMPT)
    normed = model.blocks[0].attention_norm(written)
    # The largest difference is 5e-7 of the constant: a unit feature's effect on the scale, and rounding.
    assert float((normed - written).abs().max()) < 2e-3
    assert float((normed - written)[written.abs() < 2].abs().max()) < 1e-4


def test_an_unknown_size_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"unknown size of handset 'inducton'; did you mean 'induction'\?"):
        FAMILY.construction("inducton")
