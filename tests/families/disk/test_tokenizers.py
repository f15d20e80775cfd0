"""The forms in which a tokenizer can be given, and the first token of a family's prompts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

import interp_emerge as ie
from interp_emerge.core.errors import InputError, ModelError
from interp_emerge.families.hooking import untrained
from tests.families.tiny import save_checkpoint, tiny_model, tiny_tokenizer
from tests.models.tokenizers import PythonWords, adding, numbered, words, wrapped

TEXT, IDS = "w5 w6 w7", [5, 6, 7]


def ways(directory: Path) -> dict[str, Any]:
    """The tiny tokenizer, given in each way."""
    tiny_tokenizer().save_pretrained(directory)
    alone = directory / "alone" / "words.json"
    alone.parent.mkdir()
    tiny_tokenizer().backend_tokenizer.save(str(alone))
    return {
        "transformers": tiny_tokenizer(),
        "tokenizers": tiny_tokenizer().backend_tokenizer,
        "directory": directory,
        "directory as text": str(directory),
        "file": directory / "tokenizer.json",
        "file as text": str(directory / "tokenizer.json"),
        "file alone": alone,
    }


@pytest.mark.parametrize("way", ["transformers", "tokenizers", "directory", "directory as text", "file", "file alone"])
def test_a_tokenizer_can_be_given_in_memory_or_by_its_path(way: str, tmp_path: Path):
    folder = tmp_path / "töken izer"
    folder.mkdir()
    model = ie.hook(tiny_model(), tokenizer=ways(folder)[way])
    assert isinstance(model.tokenizer, PreTrainedTokenizerFast)
    assert model.encode(TEXT) == IDS
    assert model.words(IDS) == TEXT.split()
    with pytest.raises(InputError, match="has no token for a part of 'w5 w99'"):
        model.encode("w5 w99")
    assert ie.load_ability("induction").sample(model, 2).length == 20


def test_a_tokenizer_of_tokenizers_brings_what_it_puts_in_front():
    plain = words(numbered("<s>", "<unk>"))
    model = ie.hook(tiny_model(), tokenizer=adding(Tokenizer.from_str(plain.to_str()), "<s> $A", s=0))
    assert model.bos == [0] and ie.hook(tiny_model(), tokenizer=plain).bos == []
    assert ie.hook(tiny_model(), tokenizer=plain, prepend_bos="<s>").bos == [0]
    with pytest.raises(InputError, match="has no beginning-of-text token; give a token as prepend_bos"):
        ie.hook(tiny_model(), tokenizer=plain, prepend_bos=True)


def test_the_tokenizer_of_a_processor_is_taken():
    class Processor:
        tokenizer = tiny_tokenizer()

    assert ie.hook(tiny_model(), tokenizer=Processor()).tokenizer is Processor.tokenizer


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [tiny_tokenizer()],
            "the tokenizer cannot be a list; give a transformers tokenizer, a tokenizers.Tok",
        ),
        (str.split, "the tokenizer cannot be a method_descriptor; give a transformers tokenizer"),
        (PreTrainedTokenizerFast, "the tokenizer cannot be the class .*; give a transformers tokenizer"),
        ({"a": 0}, "the tokenizer cannot be a dict; give"),
        (7, "the tokenizer cannot be 7; give"),
        ("gpt2", "the tokenizer 'gpt2' is neither a directory nor a file here; give"),
        (Path("nowhere/tokenizer.json"), "the tokenizer 'nowhere/tokenizer.json' is neither a directory nor a file"),
    ],
)
def test_anything_but_a_tokenizer_is_refused_in_one_line(given: Any, message: str):
    with pytest.raises(InputError, match=message) as refused:
        ie.hook(tiny_model(), tokenizer=given)
    assert "\n" not in str(refused.value)


def test_paths_without_a_tokenizer_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no tokenizer; give a transformers tokenizer"):
        ie.hook(tiny_model(), tokenizer=tmp_path)
    (tmp_path / "card.json").write_text('{"recipe": 1}')
    with pytest.raises(ModelError, match=r"card.json cannot be read as a tokenizer.json \(.*\); give"):
        ie.hook(tiny_model(), tokenizer=tmp_path / "card.json")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"the tokenizer in .* cannot be read"):
        ie.hook(tiny_model(), tokenizer=tmp_path)


def test_an_untrained_model_keeps_the_first_token_of_prompts():
    for choice in (True, False, "w7"):
        model = ie.hook(tiny_model(), tokenizer=tiny_tokenizer(), prepend_bos=choice)
        fresh = untrained(model, 0)
        assert (fresh.bos, fresh.spec.prepended) == (model.bos, model.spec.prepended)
    assert model.bridge.tokenizer is not None


def test_a_directorys_prompts_begin_as_its_tokenizer_does_unless_given(tmp_path: Path):
    save_checkpoint(tmp_path / "plain")
    save_checkpoint(tmp_path / "front")
    wrapped(_beginning_with_w0(), bos_token="w0", unk_token="w1").save_pretrained(tmp_path / "front")
    plain, begun = (ie.load_family(tmp_path / name) for name in ("plain", "front"))
    assert plain.load("plain").bos == [] and begun.load("front").bos == [0]
    for choice, ids in ((True, [0]), (False, []), ("w9", [9]), (9, [9])):
        assert plain.load("plain", prepend_bos=choice).bos == begun.load("front", prepend_bos=choice).bos == ids
    plain.prepend_bos = "w9"
    assert plain.load("plain").spec.prepended == "w9" and plain.load("plain", prepend_bos=False).bos == []
    with pytest.raises(InputError, match="prepend_bos = 'w5 w6' is not one token of plain/plain/step0/seed0"):
        plain.load("plain", prepend_bos="w5 w6")


def _beginning_with_w0() -> Tokenizer:
    tokenizer = tiny_tokenizer().backend_tokenizer
    tokenizer.post_processor = TemplateProcessing(single="w0 $A", special_tokens=[("w0", 0)])
    return tokenizer


def test_prompts_of_families_with_a_recipe_begin_as_their_training_texts_did(tmp_path: Path):
    bundled = ie.load_family("miniature")
    assert bundled.load("3k").bos == [0] and bundled.load("3k").spec.prepended == "<bos>"
    assert ie.load_family(bundled.root).load("3k").bos == [0]  # pyright: ignore[reportAttributeAccessIssue]
    assert ie.load_family("handset").load("induction").bos == [0]
    assert ie.load_family("pythia").prepend_bos is True
    save_checkpoint(tmp_path / "3k")
    tiny_tokenizer().save_pretrained(tmp_path)
    for content, ids in (("{", []), (json.dumps({"hash": ""}), []), (json.dumps([]), [])):
        (tmp_path / "recipe.json").write_text(content)
        assert ie.load_family(tmp_path).load("3k").bos == ids


def test_a_python_tokenizer_works_as_any_other():
    model = ie.hook(tiny_model(), tokenizer=PythonWords(), prepend_bos="<s>")
    pairs = ie.load_ability("induction").sample(model, 3)
    assert (pairs.clean[:, 0] == 0).all() and model.words([0, 5]) == ["<s>", "t5"]
    assert len(ie.score(model, pairs, method="eap").to_frame())
