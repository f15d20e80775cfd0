import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.core.spec import ModelSpec
from interp_emerge.core.weights import require_finite
from interp_emerge.core.whole import count_parameters
from tests.models.slow_model import SlowModel
from tests.models.small_models import EVERY_ARCHITECTURE, VOCABULARY, build, random_pairs, small_model


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_oracle_of_these_tests_computes_what_the_model_does(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    with torch.no_grad():
        logits, written = SlowModel(model.hf).run(tokens)
        torch.testing.assert_close(logits, model.logits(tokens), atol=2e-5, rtol=0)
    assert [*written] == [*model.graph.writer_names]


def test_a_specification_is_read_back_from_its_text():
    spec = ModelSpec(family="olmo/2", size="1b", step=512, seed=3)
    assert str(spec) == "olmo/2/1b/step512/seed3"
    assert ModelSpec.parse(str(spec)) == spec
    for wrong in ("pythia", "pythia/14m/last/seed0", "14m/step1/seed0", "pythia/14m/step1/seed-1"):
        with pytest.raises(InputError, match=r"cannot read .* as a model; expected FAMILY/SIZE/stepN/seedN"):
            ModelSpec.parse(wrong)


def test_parameters_are_counted_by_hand_without_embeddings():
    # Norms 2 · 48, queries, keys and values 3 · (576 + 24), attention out 576 + 24, MLP 2 · 1152 + 48 + 24.
    layer = 96 + 1800 + 600 + 2376
    assert count_parameters(build("gpt_neox")) == 3 * layer + 48


def test_a_weight_that_is_not_finite_is_named():
    hf = build("gpt_neox")
    with torch.no_grad():
        hf.get_parameter("gpt_neox.layers.1.mlp.dense_h_to_4h.bias")[0] = torch.nan
    with pytest.raises(ModelError, match=r"here: weights are not finite \(gpt_neox.layers.1.mlp.dense_h_to_4h.bias\)"):
        require_finite(hf, "here")


def test_the_logits_are_those_after_the_last_token():
    model, tokens = small_model("llama"), random_pairs().clean
    with torch.no_grad():
        torch.testing.assert_close(model.logits(tokens), model.hf(input_ids=tokens).logits[:, -1])


def test_without_a_tokenizer_tokens_are_numbers_and_text_is_refused():
    model = small_model("gpt_neox")
    assert model.bos == [0]
    assert model.ordinary_ids == [*range(1, VOCABULARY)]
    assert model.words([3, 12]) == ["3", "12"]
    with pytest.raises(InputError, match="has no tokenizer; give token ids instead of text"):
        model.encode("text")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([[1, VOCABULARY]]), "token ids go from 1 to 40, but .* has 40 tokens"),
        (torch.tensor([[-1, 2]]), "token ids go from -1 to 2"),
        (torch.ones(1, 65, dtype=torch.int64), "prompts of 65 tokens do not fit the 64 positions"),
    ],
)
def test_tokens_that_the_model_cannot_take_are_refused(tokens: torch.Tensor, message: str):
    with pytest.raises(InputError, match=message):
        small_model("gpt_neox").require_tokens(tokens)


@pytest.mark.parametrize(
    ("rows", "ids", "refused"),
    [
        ([[0, 5, 6], [5, 6, 0]], {}, 1),  # padding and beginning are one token: at the first place it is no padding
        ([[0, 5, 6], [0, 0, 6]], {}, 1),
        ([[5, 0, 6], [7, 5, 6]], {}, None),
        ([[0, 5, 6], [0, 7, 6]], {}, None),
        ([[0]], {}, None),
        ([[5, 9, 6]], {"pad_token_id": 9}, 0),
        ([[5, 0, 6], [0, 0, 6]], {"pad_token_id": None}, None),
    ],
)
def test_prompts_that_hold_padding_are_refused(rows: list[list[int]], ids: dict, refused: int | None):
    model, tokens = ie.hook(build("gpt_neox", **ids)), torch.tensor(rows)
    if refused is None:
        model.require_unpadded(tokens)
    else:
        pad = ids.get("pad_token_id", 0)
        with pytest.raises(InputError, match=f"prompt {refused} contains the padding token {pad}; give prompts"):
            model.require_unpadded(tokens)


def test_a_model_says_what_it_is():
    assert "14,664 non-embedding parameters" in repr(small_model("gpt_neox"))
    assert isinstance(small_model("gpt_neox"), ie.HookedModel)
