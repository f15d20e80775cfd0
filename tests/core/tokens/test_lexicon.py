"""What stands first in prompts, words inside sentences, and padding, for tokenizers of every kind."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

import interp_emerge as ie
from interp_emerge.abilities.base import single_tokens
from interp_emerge.abilities.pairs import prompt_ids
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import build
from tests.models.tokenizers import (
    WORDS,
    PythonWords,
    added,
    adding,
    byte_level,
    numbered,
    sentencepiece,
    words,
    wrapped,
)

NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
PLAIN = numbered("<s>", "<unk>", "</s>")


def hooked(tokenizer: Any, prepend_bos: Any = None, **config: Any) -> HookedModel:
    return ie.hook(build("gpt_neox", vocab_size=600, **config), tokenizer=tokenizer, prepend_bos=prepend_bos)


@pytest.mark.parametrize(
    ("tokenizer", "first"),
    [
        (wrapped(words(PLAIN), **NAMED), []),
        (wrapped(adding(words(PLAIN), "<s> $A", s=0), **NAMED), ["<s>"]),
        (wrapped(adding(words(PLAIN), "$A </s>", e=2), **NAMED), []),
        (wrapped(adding(words(PLAIN), "<s> $A </s>", s=0, e=2), **NAMED), ["<s>"]),
        (wrapped(adding(words(PLAIN), "</s> <s> $A", s=0, e=2), **NAMED), ["</s>", "<s>"]),
        (wrapped(adding(words(PLAIN), "</s> $A", e=2), **NAMED), ["</s>"]),
        (wrapped(words({"<s>": 0, "only": 3}, unknown=None), bos_token="<s>"), []),
        (wrapped(adding(sentencepiece("llama"), "<s> $A", s=1), **NAMED), ["<s>"]),
        (wrapped(byte_level(), bos_token="<|endoftext|>", eos_token="<|endoftext|>"), []),
        (PythonWords(), []),
    ],
    ids=["none", "front", "end", "both", "two", "eos in front", "one word", "llama", "byte-level", "python"],
)
def test_what_stands_first_is_what_the_tokenizer_puts_in_front_and_never_what_it_appends(
    tokenizer: Any, first: list[str]
):
    model = hooked(tokenizer)
    assert model.bos == tokenizer.convert_tokens_to_ids(first)
    assert model.spec.prepended == " ".join(first)
    assert ("nothing in front of prompts" in repr(model)) == (not first)


def test_a_tokenizer_that_writes_nothing_has_to_be_said_what_stands_first():
    tokenizer = wrapped(words({"<s>": 0}, unknown=None), bos_token="<s>")
    with pytest.raises(
        InputError,
        match=r"cannot find out what the tokenizer .* puts in front of a text; give prepend_bos=True, False, or",
    ):
        hooked(tokenizer)
    assert hooked(tokenizer, prepend_bos=True).bos == [0]


@pytest.mark.parametrize(
    ("choice", "ids"),
    [(True, [0]), (False, []), ("", []), ("</s>", [2]), ("t7", [7]), (7, [7]), ([2, 0], [2, 0]), (None, [0])],
)
def test_another_choice_stands_first_in_prompts_is_recorded_and_can_be_read_back(choice: Any, ids: list[int]):
    tokenizer = wrapped(adding(words(PLAIN), "<s> $A", s=0), **NAMED)
    model = hooked(tokenizer, choice)
    assert model.bos == ids
    assert prompt_ids(model, "t5 t6") == [*ids, 5, 6]
    assert ie.load_ability("induction").sample(model, 2).clean[:, : len(ids)].tolist() == [ids, ids]
    if len(ids) < 2:
        assert hooked(tokenizer, model.spec.prepended).bos == ids


def test_results_behind_other_first_tokens_say_so_and_share_no_prompts():
    tokenizer = wrapped(words(PLAIN), **NAMED)
    behind = {choice: hooked(tokenizer, choice) for choice in ("<s>", "</s>", False)}
    origins = []
    for model in behind.values():
        pairs = ie.load_ability("induction").sample(model, 4)
        origins.append(ie.score(model, pairs, method="eap").origin["model"])
    assert [origin["prepended"] for origin in origins] == ["<s>", "</s>", ""]
    assert len({model.vocabulary for model in behind.values()}) == 3
    assert len({origin["revision"] for origin in origins}) == 1


@pytest.mark.parametrize(
    ("tokenizer", "choice", "message"),
    [
        (
            wrapped(words(PLAIN), unk_token="<unk>"),
            True,
            "has no beginning-of-text token; give a token as prepend_bos, or prepend_bos=False",
        ),
        (
            wrapped(words(PLAIN), eos_token="</s>"),
            True,
            r"its end-of-text token: prepend_bos='</s>'\), or prepend_bos=False",
        ),
        (wrapped(words(PLAIN), **NAMED), "t5 t6", r"prepend_bos = 't5 t6' is not one token of .*: '<s>', '</s>'"),
        (wrapped(words(PLAIN), **NAMED), "nowhere", "prepend_bos = 'nowhere' is not one token"),
        (
            wrapped(words(PLAIN), **NAMED),
            600,
            r"prepend_bos cannot be the token 600; .* has 600 tokens, give an id from 0 to 599",
        ),
        (wrapped(words(PLAIN), **NAMED), -1, "prepend_bos cannot be the token -1; "),
        (None, "<s>", "has no tokenizer, so prepend_bos cannot be '<s>'; give the id of a token"),
    ],
)
def test_a_choice_that_is_not_one_token_is_refused(tokenizer: Any, choice: Any, message: str):
    with pytest.raises(InputError, match=message):
        hooked(tokenizer, choice)


def test_without_a_tokenizer_the_configuration_says_what_stands_first():
    assert hooked(None).bos == [0] and hooked(None).spec.prepended == "0"
    assert hooked(None, "0").bos == [0] and hooked(None, 9).bos == [9]
    assert hooked(None, bos_token_id=None).bos == []
    with pytest.raises(InputError, match="names no beginning-of-text token; give the id of one as prepend_bos"):
        hooked(None, True, bos_token_id=None)
    assert 7 not in hooked(None, eos_token_id=[3, 7]).ordinary_ids


@pytest.mark.parametrize(
    "tokenizer",
    [
        wrapped(sentencepiece("llama"), **NAMED),
        wrapped(sentencepiece("first"), **NAMED),
        wrapped(sentencepiece("always"), **NAMED),
        wrapped(sentencepiece("never"), **NAMED),
        wrapped(byte_level(), eos_token="<|endoftext|>"),
        wrapped(byte_level(add_prefix_space=True), eos_token="<|endoftext|>"),
        wrapped(words({"<unk>": 0, **{word: place for place, word in enumerate(WORDS, 1)}}), unk_token="<unk>"),
    ],
    ids=["llama", "first", "always", "never", "byte-level", "prefix space", "words"],
)
def test_a_word_is_the_token_that_it_is_inside_a_sentence(tokenizer: PreTrainedTokenizerFast):
    model = hooked(tokenizer)
    found = single_tokens(model, ["Mary", "John", "park", "Xerxes"], at_least=3, wanted_for="this test")
    assert [*found] == ["Mary", "John", "park"]
    told = " When Mary and John met at the park , John gave a book to"
    prompt = prompt_ids(model, told)
    for word, token in found.items():
        sentence = f"a{told} {word}"
        assert tokenizer(sentence, add_special_tokens=False).input_ids[-1] == token
        whole = tokenizer(f"When{told.removeprefix(' When')} {word}", add_special_tokens=False).input_ids
        assert whole[1:] == [*prompt[1:], token]
        assert whole.count(token) == prompt.count(token) + 1


def test_gaps_in_the_ids_are_not_tokens_and_the_largest_id_has_to_fit():
    tokenizer = wrapped(words({"a": 0, "b": 5, "c": 17, "<unk>": 18, "d": 25}), unk_token="<unk>")
    model = ie.hook(build("gpt_neox"), tokenizer=tokenizer)
    assert model.ordinary_ids == [0, 5, 17, 25]
    assert model.words([0, 5, 17, 18, 3]) == ["a", "b", "c", "<unk>", "[3]"]
    far = wrapped(words({"a": 0, "b": 5, "c": 900, "<unk>": 1}), unk_token="<unk>")
    with pytest.raises(ie.InterpEmergeError, match="'c' has id 900, but the model has ids 0 to 39; give the"):
        ie.hook(build("gpt_neox"), tokenizer=far)
    last = wrapped(words({"a": 0, "b": 5, "c": 39, "<unk>": 1}), unk_token="<unk>")
    assert ie.hook(build("gpt_neox"), tokenizer=last).ordinary_ids == [0, 5, 39]
    beyond = wrapped(words(numbered("<unk>")), unk_token="<unk>", bos_token="<s>")
    with pytest.raises(ie.InterpEmergeError, match="'<s>' has id 40, but the model has ids 0 to 39"):
        ie.hook(build("gpt_neox"), tokenizer=beyond)


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [
        (wrapped(words(PLAIN), **NAMED), "t5 t99"),
        (wrapped(words({"a": 0, "b": 1, "c": 2}, unknown=None)), "a z"),
        (wrapped(sentencepiece("llama"), **NAMED), "Mary 東"),
        (PythonWords(), "t5 nothing"),
    ],
    ids=["unknown", "no unknown token", "unigram", "python"],
)
def test_text_that_has_no_token_is_refused_and_not_left_out(tokenizer: Any, text: str):
    with pytest.raises(InputError, match="has no token for a part of"):
        hooked(tokenizer, False).encode(text)


def test_characters_that_a_tokenizer_drops_without_a_word_are_noticed():
    from tokenizers import Tokenizer, models

    letters = wrapped(Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "c": 2, "ab": 3}, merges=[("a", "b")])))
    model = hooked(letters)
    assert model.encode("abc") == [3, 2]
    assert letters("abzc", add_special_tokens=False).input_ids == [3, 2]
    with pytest.raises(InputError, match="has no token for a part of 'abzc'"):
        model.encode("abzc")


def test_tokenizers_in_python_are_known_by_what_they_do():
    class Lower(PythonWords):
        def _tokenize(self, text: str, **_: Any) -> list[str]:
            return text.lower().split()

    class Backwards(PythonWords):
        def _tokenize(self, text: str, **_: Any) -> list[str]:
            return text.split()[::-1]

    other = {**numbered("<s>", "<unk>", n=19), "other": 19}
    made = [PythonWords(), Lower(), Backwards(), PythonWords(other)]
    hashes = [hooked(tokenizer, True).vocabulary for tokenizer in made]
    assert all(hashes) and len({*hashes}) == len(made)
    assert hooked(PythonWords(), True).vocabulary == hashes[0]


@pytest.mark.parametrize(
    ("ids", "choice", "prompts", "refused"),
    [
        # Padding means nothing else: it is padding wherever it stands.
        ({"pad": "t9"}, None, [[5, 9, 6]], "prompt 0 contains the padding token 9"),
        ({"pad": "t9"}, None, [[5, 6, 7], [5, 6, 9]], "prompt 1 contains the padding token 9"),
        # It is the end of text as well.
        ({"pad": "</s>", "bos": "<s>", "eos": "</s>"}, True, [[0, 5, 6, 7], [2, 0, 5, 6]], "prompt 1 contains"),
        ({"pad": "</s>", "bos": "<s>", "eos": "</s>"}, True, [[2, 0, 5, 6]], "prompt 0 contains the padding token 2"),
        ({"pad": "</s>", "bos": "<s>", "eos": "</s>"}, True, [[0, 5, 6, 2]], "prompt 0 contains the padding token 2"),
        ({"pad": "</s>", "bos": "<s>", "eos": "</s>"}, True, [[0, 5, 2, 6]], None),
        (
            {"pad": "</s>", "bos": "<s>", "eos": "</s>"},
            False,
            [[2, 5, 6], [7, 5, 6]],
            "0 begins .* but other prompts do not",
        ),
        (
            {"pad": "</s>", "eos": "</s>"},
            False,
            [[2, 5, 6], [2, 5, 7]],
            "0 begins .* but this model's usual prompts do not",
        ),
        ({"pad": "</s>", "eos": "</s>"}, "</s>", [[2, 5, 6], [2, 5, 7]], None),
        ({"pad": "</s>", "eos": "</s>"}, "</s>", [[2, 2, 6], [2, 5, 7]], "prompt 0 contains the padding token 2"),
        ({"pad": "</s>", "eos": "</s>"}, "</s>", [[2, 5, 6], [8, 5, 7]], "0 begins .* but other prompts do not"),
        # One token begins, ends and pads.
        ({"pad": "<s>", "bos": "<s>", "eos": "<s>"}, True, [[0, 5, 6], [0, 7, 6]], None),
        ({"pad": "<s>", "bos": "<s>", "eos": "<s>"}, False, [[0, 5, 6], [0, 7, 6]], None),
        ({"pad": "<s>", "bos": "<s>", "eos": "<s>"}, True, [[0, 5, 0, 6]], None),
        (
            {"pad": "<s>", "bos": "<s>", "eos": "<s>"},
            True,
            [[0, 5, 6], [5, 7, 6]],
            "0 begins .* but other prompts do not",
        ),
        ({"pad": "<s>", "bos": "<s>", "eos": "<s>"}, True, [[0, 5, 6], [0, 0, 6]], "prompt 1 contains"),
        ({"pad": "<s>", "bos": "<s>", "eos": "<s>"}, True, [[0, 5, 0]], "prompt 0 contains"),
        # No padding is named.
        ({"bos": "<s>", "eos": "</s>"}, True, [[0, 0, 2]], None),
    ],
)
def test_padding_is_refused_and_a_first_token_is_not_taken_for_it(
    ids: dict[str, str], choice: Any, prompts: list[list[int]], refused: str | None
):
    tokenizer = wrapped(words(PLAIN), **{f"{kind}_token": text for kind, text in ids.items()})
    hf = build("gpt_neox", bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model, tokens = ie.hook(hf, tokenizer=tokenizer, prepend_bos=choice), torch.tensor(prompts)
    if refused is None:
        model.require_unpadded(tokens)
    else:
        with pytest.raises(InputError, match=refused):
            model.require_unpadded(tokens)


def test_padding_that_only_the_configuration_names_is_refused():
    hf = build("gpt_neox", bos_token_id=0, eos_token_id=[2, 3], pad_token_id=3)
    model = ie.hook(hf, tokenizer=wrapped(words(PLAIN), **NAMED, pad_token="t9"))
    for prompts in ([[0, 5, 9]], [[0, 5, 3]], [[3, 0, 5]]):
        with pytest.raises(InputError, match=f"contains the padding token {9 if 9 in prompts[0] else 3}"):
            model.require_unpadded(torch.tensor(prompts))
    model.require_unpadded(torch.tensor([[0, 5, 3, 6]]))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("longer", [1, 2, 3])
@pytest.mark.parametrize(("begin", "pad"), [("<s> ", "</s>"), ("", "</s>"), ("<s> ", "<s>"), ("", "<s>")])
def test_what_a_tokenizer_pads_is_refused_wherever_pairs_come_in(side: str, longer: int, begin: str, pad: str):
    tokenizer = wrapped(words(PLAIN), **NAMED | {"eos_token": pad}, pad_token=pad)
    tokenizer.padding_side = side
    texts = [f"{begin}t5 t6 t7", f"{begin}t5 t6 t7{' t8' * longer}"]
    model = ie.hook(build("gpt_neox", pad_token_id=None), tokenizer=tokenizer)
    tokens = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False).input_ids
    assert (tokens[0] == tokenizer.pad_token_id).sum() >= longer
    pairs = ie.PromptPairs(clean=tokens, corrupt=tokens.roll(1, 0), answer=[9, 9], foil=[8, 8])
    with pytest.raises(InputError, match="the padding token"):
        ie.score(model, pairs, method="eap")


def test_tokens_of_ones_own_are_not_ordinary_and_have_names():
    tokenizer = added(wrapped(words(PLAIN), **NAMED), "[ONE]", "two words")
    model = hooked(tokenizer)
    assert not {40, 41} & {*model.ordinary_ids}
    assert model.words([40, 41]) == ["[ONE]", "two words"]


def test_prompts_without_a_first_token_are_as_those_behind_one():
    tokenizer = wrapped(words(PLAIN), **NAMED)
    behind, bare = hooked(tokenizer, True), hooked(tokenizer, False)
    longer, shorter = (ie.load_ability("induction").sample(model, 5, 3) for model in (behind, bare))
    for name in ("clean", "corrupt"):
        assert torch.equal(getattr(longer, name)[:, 1:], getattr(shorter, name))
    for name, place in shorter.positions.items():
        assert torch.equal(place + 1, longer.positions[name])
