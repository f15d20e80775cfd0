"""Pairs from text are named, joined, shown, written and read back."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interp_emerge as ie
from interp_emerge.abilities.own.encoding import Encoding
from interp_emerge.abilities.own.keeping import HEADER
from interp_emerge.core.model import HookedModel
from tests.abilities.own.written import bytes_model, llama_model

NAMES = ["Mary", "John", "Mary"]


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return bytes_model()


def made(model: HookedModel, *, names: list[str] = NAMES, answers: Any = None, **changed: Any) -> ie.PromptPairs:
    text: dict[str, Any] = {
        "clean": [f" When {name} met" for name in names],
        "corrupt": [" When park met" for _ in names],
        "answer": answers or [" bookab", " a", [" to", " at"]][: len(names)],
        "foil": [" gave", " gave", " gave"][: len(names)],
        "templates": ["short"] * len(names),
        "positions": {"name": names, "last": -1},
        "variables": {"who": names, "turn": [*range(len(names))]},
    }
    return ie.PromptPairs.from_text(model, **text | changed)


def test_labels_become_indices_and_are_kept(model: HookedModel):
    pairs = made(model)
    assert pairs.labels == {"who": ("John", "Mary")}
    assert pairs.variables["who"].tolist() == [1, 0, 1]
    assert pairs[[1]].labels == pairs.labels


def test_the_table_has_every_pair_in_words(model: HookedModel):
    frame = made(model).to_frame()
    assert frame["clean"].tolist() == [" When Mary met", " When John met", " When Mary met"]
    assert frame["answer"].tolist() == [" bookab", " a", " to |  at"]
    assert frame["variable who"].tolist() == NAMES
    assert frame["position name"].tolist() == [1, 1, 1]
    assert frame["template"].tolist() == ["short"] * 3
    ids = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], answer=[8], foil=[9]).to_frame()
    assert ids[["clean", "corrupt", "answer", "foil"]].to_numpy().tolist() == [["5 6", "5 7", "8", "9"]]


def test_drawn_pairs_are_shown_in_words_and_stay_usable_with_another_first_token(tmp_path: Path):
    drawn_for = ie.load_family("miniature").load("7k")
    pairs = ie.load_ability("indirect_object").sample(drawn_for, 4)
    frame, decode = pairs.to_frame(), drawn_for.lexicon.tokenizer.decode
    assert frame["clean"].tolist() == [" ".join(drawn_for.words(ids)) for ids in pairs.clean.tolist()]
    assert frame["answer"].tolist() == [decode([token]) for token in pairs.answer.tolist()]
    assert frame["clean"][0].split()[1] in pairs._repr_html_()
    other = ie.hook(drawn_for.hf, tokenizer=drawn_for.tokenizer, prepend_bos=False)
    assert other.vocabulary != drawn_for.vocabulary
    pairs.save(tmp_path / "drawn.safetensors")
    kept = ie.PromptPairs.load(tmp_path / "drawn.safetensors", model=other)
    assert kept.fingerprint == pairs.fingerprint
    assert kept.to_frame().equals(frame)


def test_names_only_join_with_any_pairs_and_tokens_of_two_names_have_none(model: HookedModel):
    named = made(model)
    assert named.encoding is not None
    for encoding, shown in (
        (Encoding(vocabulary="", names=named.encoding.names), " When Mary met"),
        (Encoding(vocabulary="", names={int(named.clean[0, 1]): " Zoe"}), f" When[{int(named.clean[0, 1])}] met"),
    ):
        drawn = ie.PromptPairs(
            clean=named.clean, corrupt=named.corrupt, answer=named.answer, foil=named.foil,
            positions=named.positions, variables={"who": NAMES, "turn": [0, 1, 2]}, encoding=encoding,
        )  # fmt: skip
        for joined in (drawn + named, named + drawn):
            assert joined.encoding is not None and joined.encoding.vocabulary == model.vocabulary
            assert joined.to_frame()["clean"][0] == shown


def test_html_escapes_what_tokens_say(model: HookedModel):
    evil = "<script>alert(1)</script>"
    text: dict[str, Any] = {"clean": [evil + "a"], "corrupt": [evil + "b"], "answer": [" a"], "foil": [" to"]}
    pairs = ie.PromptPairs.from_text(model, **text, templates=["<b>x"], variables={"<i>": ["<img onerror=x>"]})
    html = pairs._repr_html_()
    assert "alert(1)" in html and "onerror" in html
    assert not re.search(r"<(script|img|i|b)\b", html)
    many = made(model, names=["Mary", "John", "Mary"])
    for _ in range(4):
        many = many + many
    assert "38 more" in many._repr_html_()


def test_joined_pairs_keep_their_rows_and_their_labels(model: HookedModel):
    first = made(model, names=["Mary"], answers=[" bookab"])
    second = made(model, names=["John"], answers=[" a"], templates=[])
    both = first + second
    assert both.labels == {"who": ("John", "Mary")} and both.variables["who"].tolist() == [1, 0]
    assert both.templates == ("short", "")
    assert both.to_frame()["answer"].tolist() == [" bookab", " a"]
    assert both[[0]].to_frame().equals(first.to_frame())
    longer = ie.PromptPairs.from_text(
        model, clean=[" Mary"], corrupt=[" John"], answer=[" a"], foil=[" to"],
        positions={"name": "Mary", "last": -1}, variables={"who": ["Anna"], "turn": [7]},
    )  # fmt: skip
    assert (both + longer).lengths.tolist() == [3, 3, 1]
    assert (both + longer).labels["who"] == ("Anna", "John", "Mary")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": {"name": -2}}, "pairs with the positions ['last', 'name'] and ['name'] cannot be joined"),
        (
            {"variables": {"who": [1, 2, 3], "turn": [0, 1, 2]}},
            "variable 'who' holds labels in one set of pairs and num",
        ),
    ],
)
def test_pairs_that_do_not_fit_are_not_joined(changed: dict[str, Any], message: str, model: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        _ = made(model) + made(model, **changed)


def test_pairs_of_different_tokenizers_are_not_joined_and_not_run(model: HookedModel):
    other = llama_model()
    texts: dict[str, Any] = {"clean": ["Mary met"], "corrupt": ["John met"], "answer": [" a"], "foil": [" to"]}
    pairs = [ie.PromptPairs.from_text(one, **texts) for one in (model, other)]
    with pytest.raises(ie.InterpEmergeError, match="encoded by different tokenizers cannot be joined"):
        _ = pairs[0] + pairs[1]
    with pytest.raises(ie.InterpEmergeError, match="encoded with another tokenizer or another first token"):
        ie.score(other, pairs[0], method="eap")
    with_first = ie.hook(model.hf, tokenizer=model.tokenizer, prepend_bos=True)
    with pytest.raises(ie.InterpEmergeError, match=re.escape("another first token (none) than that of")):
        ie.score(with_first, pairs[0], method="eap")


@pytest.mark.parametrize("several", [True, False])
def test_a_file_gives_the_same_pairs_back(several: bool, tmp_path: Path, model: HookedModel):
    pairs = made(model) if several else made(model, answers=[" a", " at", " to"])
    pairs.save(tmp_path / "pairs.safetensors")
    read = ie.PromptPairs.load(tmp_path / "pairs.safetensors", model=model)
    assert (pairs.completions is not None) == several
    assert read.fingerprint == pairs.fingerprint and repr(read) == repr(pairs)
    assert read.to_frame().equals(pairs.to_frame())
    assert (read.labels, read.templates, read.encoding) == (pairs.labels, pairs.templates, pairs.encoding)
    assert [*tmp_path.iterdir()] == [tmp_path / "pairs.safetensors"]
    with pytest.raises(ie.InterpEmergeError, match="encoded with another tokenizer"):
        ie.PromptPairs.load(tmp_path / "pairs.safetensors", model=llama_model())


def test_what_is_not_such_a_file_is_refused(tmp_path: Path, model: HookedModel):
    with pytest.raises(ie.InterpEmergeError, match="give a name that ends in"):
        made(model).save(tmp_path / "pairs.pt")
    path = tmp_path / "x.safetensors"
    for content in (None, b"", b"{}", b"\x00" * 100):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ie.InterpEmergeError, match=r"x\.safetensors is not a file of prompt pairs: "):
            ie.PromptPairs.load(path)
    with pytest.raises(ie.InterpEmergeError, match="is not a file of prompt pairs"):
        ie.PromptPairs.load(tmp_path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ie.InterpEmergeError, match="its header has no"):
        ie.PromptPairs.load(path)


def test_a_file_that_was_changed_is_refused(tmp_path: Path, model: HookedModel):
    path = tmp_path / "pairs.safetensors"
    made(model).save(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    changed = {**tensors, "clean": tensors["clean"] + 1}
    save_file(changed, path, metadata=header)
    with pytest.raises(ie.InterpEmergeError, match="was changed after it was written"):
        ie.PromptPairs.load(path)
    manifest = json.loads(header[HEADER])
    for odd in ({**manifest, "schema": "other/2"}, {**manifest, "positions": ["a"] * 9}, {**manifest, "more": 1}):
        save_file(tensors, path, metadata={HEADER: json.dumps(odd)})
        with pytest.raises(ie.InterpEmergeError, match="is not a whole file of prompt pairs"):
            ie.PromptPairs.load(path)


def test_logits_take_text(model: HookedModel):
    ids = torch.tensor([model.encode(" When Mary met")])
    assert torch.equal(model.logits(" When Mary met"), model.logits(ids))
    assert model.logits([" When Mary met", " When John met"]).shape == (2, 600)
    with pytest.raises(ie.InterpEmergeError, match="prompts of one run need one length"):
        model.logits([" When Mary", " When"])
