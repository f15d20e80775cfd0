"""The loss of a text after each token that could come first."""

import json
import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.compare import model_of as model_of_circuit
from interp_emerge.emergence.scale.first_tokens import warning_of_first_token
from tests.models.small_models import build
from tests.models.tokenizers import numbered, words, wrapped

PASSAGES = ["t5 t6 t7 t8", "t9 t10 t11 t12 t13 t14", "t15 t16 t17 t18", "t20 t21", "t22 t23 t24"]
SPECIAL = ("<s>", "</s>", "<unk>", "<|im_start|>", "<|endoftext|>")


def model_of(architecture: str = "gpt_neox", prepend_bos: Any = None, **special: Any) -> HookedModel:
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | special
    tokenizer = wrapped(words(numbered(*SPECIAL)), **named)
    return ie.hook(build(architecture), tokenizer=tokenizer, prepend_bos=prepend_bos)


@torch.no_grad()
def plain_loss(model: HookedModel, first: list[int], passages: list[str]) -> tuple[float, int]:
    """Loss of all tokens of the passages but the first of each, by plain transformers, one passage at a time."""
    total, count = 0.0, 0
    for passage in passages:
        ids = model.tokenizer(passage, add_special_tokens=False).input_ids
        logits = model.hf(input_ids=torch.tensor([first + ids])).logits[0].double()
        for place in range(1, len(ids)):
            total += float(cross_entropy(logits[len(first) + place - 1], torch.tensor(ids[place])))
            count += 1
    return total / count, count


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2"])
@pytest.mark.parametrize("in_use", [False, "<s>", "t9"])
def test_each_choice_has_the_loss_of_the_plain_model_on_the_same_tokens(architecture: str, in_use: Any):
    model = model_of(architecture, in_use, additional_special_tokens=["<|im_start|>", "<|endoftext|>"])
    table = ie.emergence.scale.first_token_losses(model, PASSAGES)
    expected = {"": [], "<s>": [0], "</s>": [1], "<|im_start|>": [3], "<|endoftext|>": [4]}
    expected |= {"t9": [9]} if in_use == "t9" else {}
    assert {*table["token"]} == {*expected}
    assert table["loss"].is_monotonic_increasing
    for row in table.to_dict("records"):
        loss, count = plain_loss(model, expected[row["token"]], PASSAGES)
        assert row["loss"] == pytest.approx(loss, abs=1e-5)
        assert row["n_tokens"] == count == 14
        assert row["above_best"] == pytest.approx(row["loss"] - table["loss"].min(), abs=1e-9)
        assert row["ci_low"] <= row["above_best"] <= row["ci_high"]
    assert table[table["in_use"]]["token"].tolist() == [in_use or ""]
    ids = dict(zip(table["token"], table["id"], strict=True))
    assert ids["<s>"] == 0 and ids[""] is pd.NA


def test_the_choices_have_the_names_of_the_tokenizer():
    model = model_of(eos_token="<s>", pad_token="<|endoftext|>")
    choices = ie.emergence.scale.first_token_losses(model, PASSAGES).set_index("token")["choice"].to_dict()
    assert choices == {"": "nothing", "<s>": "beginning of text, end of text", "<|endoftext|>": "special token"}


def test_one_passage_is_read_by_sentences_and_a_few_have_no_interval():
    model = ie.load_family("miniature").load("25k")
    passage = (
        "When Mary and John met at the park, John gave the book to Mary." + 2 * " Anna follows Paul. Paul reaches Lisa."
    )
    several, one = (
        ie.emergence.scale.first_token_losses(model, passage),
        ie.emergence.scale.first_token_losses(model, "Anna follows Paul. Paul reaches Lisa."),
    )
    assert several["ci_low"].notna().all() and several["n_tokens"].iloc[0] == 16 - 1 + 4 * 3
    assert one["ci_low"].isna().all() and one["loss"].notna().all()


def test_the_first_token_of_the_training_texts_has_the_lowest_loss():
    family = ie.load_family("miniature")
    table = ie.emergence.scale.first_token_losses(family.load("560k"), family.held_out_text())
    assert table["token"].tolist() == ["<bos>", ""] and table["in_use"].tolist() == [True, False]
    assert table["ci_low"].iloc[1] > 0


def test_only_a_first_token_that_is_clearly_worse_gets_a_warning():
    family = ie.load_family("miniature")
    text = family.held_out_text()
    said = warning_of_first_token(family.load("560k", prepend_bos="Mary"), text)
    assert said.startswith("miniature/560k/step5000/seed0 predicts text worse after Mary (")
    assert ") than after <bos> (" in said
    assert said.endswith("prepend_bos='<bos>', on the command line --prepend-bos \"<bos>\"")
    assert "\n" not in said
    assert warning_of_first_token(family.load("560k"), text) == ""
    assert warning_of_first_token(family.load("560k", prepend_bos="Mary"), ["unheard of words"]) == ""
    assert warning_of_first_token(ie.load_family("handset").load("induction"), text) == ""


def test_texts_that_cannot_be_read_are_refused():
    with pytest.raises(InputError, match="has no tokenizer, so first tokens cannot be compared on a text"):
        ie.emergence.scale.first_token_losses(ie.hook(build("gpt2")), PASSAGES)
    with pytest.raises(InputError, match="no passage of the text has two tokens"):
        ie.emergence.scale.first_token_losses(model_of(), ["t5", "t6"])
    with pytest.raises(InputError, match="has no token for a part of"):
        ie.emergence.scale.first_token_losses(model_of())


def test_passages_are_cut_to_what_the_model_can_take():
    tokenizer = wrapped(words(numbered(*SPECIAL)), bos_token="<s>", unk_token="<unk>")
    model = ie.hook(build("gpt_neox", max_position_embeddings=8), tokenizer=tokenizer)
    table = ie.emergence.scale.first_token_losses(model, ["t5 t6 t7 t8 t9 t10 t11 t12 t13", "t5 t6 t7"])
    assert (table["n_tokens"] == 6 + 2).all()
    assert np.isfinite(table["loss"]).all()


def test_a_study_records_its_first_token_and_warns_of_a_worse_one(tmp_path, caplog: pytest.LogCaptureFixture):
    few: dict[str, Any] = {"n_measured": 8, "n_pairs": 8, "n_random": 1, "n_resamples": 2, "n_ablations": 1}
    where: dict[str, Any] = {"sizes": ("7k",), "steps": "last", "seeds": (0,), "beside": (), "target": 0.1}
    study = ie.Study(out=str(tmp_path), ability="markov", prepend_bos="Mary", **few, **where)
    assert study.settings.command.endswith("--prepend-bos Mary")
    said = study.first_token()
    assert said.startswith("Mary stands first in every prompt; miniature/7k/step5000/seed0 predicts text worse after")
    assert not [*tmp_path.iterdir()]
    with caplog.at_level(logging.WARNING):
        page = study.run().read_text()
    assert len([line for line in caplog.messages if "predicts text worse after Mary" in line]) == 1
    assert "predicts text worse after Mary" in study.findings()[1] and "predicts text worse after Mary" in page
    (spec,) = json.loads((tmp_path / "provenance.json").read_text())["models"]
    assert spec["prepended"] == "Mary" and "prompts begin with Mary" in page
    other = ie.Study(out=str(tmp_path), ability="markov", **few, **where)
    assert (study.plan()["done"].sum(), other.plan()["done"].sum()) == (4, 0)
    assert (
        other.first_token()
        == "<bos> stands first in every prompt; no other first token that was tried is clearly better"
    )
    assert "prepend_bos was Mary, now not set); it is kept as report-1.html" in other.what_is_replaced()
    again = ie.Study(out=str(tmp_path), ability="markov", prepend_bos="Mary", **{**few, "n_ablations": 2}, **where)
    assert "(n_ablations was 1, now 2)" in again.what_is_replaced()
    assert again.run().is_file() and again.what_is_replaced() == ""
    assert (tmp_path / "report-1.html").read_text() == page, "an earlier report is not lost"


@pytest.mark.parametrize("choice", [False, "Mary", None])
def test_a_circuit_is_run_again_with_its_own_first_token(choice: Any):
    model = ie.load_family("miniature").load("7k", prepend_bos=choice)
    pairs = ie.load_ability("induction").sample(model, 4)
    circuit = ie.score(model, pairs, method="eap").top(5)
    again = model_of_circuit(circuit)
    assert (again.bos, again.spec.prepended) == (model.bos, circuit.origin["model"]["prepended"])
