"""Models in memory are a family, and nothing of them is copied or changed."""

import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from tests.families.tiny import tiny_model, tiny_tokenizer


def test_one_model_is_a_family_of_one_size():
    model = ie.hook(tiny_model("llama"), tokenizer=tiny_tokenizer())
    family = ie.families.of_model(model)
    assert (family.name, family.sizes, family.seeds(family.sizes[0])) == ("memory:own", [model.spec.size], [0])
    assert family.load(family.sizes[0]) is model
    assert family.spec(family.sizes[0]).revision == model.spec.revision
    assert ie.load_family(family.address) is family


def test_several_models_are_ordered_by_their_parameters():
    models = {f"{layers} layers": ie.hook(tiny_model(num_hidden_layers=layers)) for layers in (3, 1, 2)}
    family = ie.families.of_model(models, name="depths")
    assert family.sizes == ["1 layers", "2 layers", "3 layers"]
    assert family.spec("2 layers").family == "memory:depths"


def test_what_is_not_a_family_is_refused():
    model = ie.hook(tiny_model())
    with pytest.raises(InputError, match="no model is given"):
        ie.families.of_model({})
    with pytest.raises(InputError, match="same number of parameters"):
        ie.families.of_model({"a": model, "b": model})
    with pytest.raises(InputError, match="is in memory on cpu, not on 'cuda:7'"):
        ie.families.of_model(model).load(model.spec.size, device="cuda:7")
    with pytest.raises(UnknownNameError, match="unknown family of models in memory 'memory:none'"):
        ie.load_family("memory:none")
