"""Names of tokens: readable, and different for different tokens."""

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models

from interp_emerge.core.tokens.names import token_names
from tests.models.tokenizers import PythonWords, added, byte_level, sentencepiece, words, wrapped

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def names_of(tokenizer: Any, text: str) -> list[str]:
    names = token_names(tokenizer)
    return [names[token] for token in tokenizer(text, add_special_tokens=False).input_ids]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東", ["<0xE6>", "<0x9D>", "<0xB1>"]),
        ("😀", ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]),
        ("é", ["<0xC3>", "<0xA9>"]),
        (" Mary", [" Mary"]),
        ("Xy", ["X", "y"]),
        ("\n\t", ["\\n", "\\t"]),
        ("<|endoftext|>", ["<|endoftext|>"]),
    ],
)
def test_bytes_are_shown_as_characters_where_they_make_whole_ones(text: str, expected: list[str]):
    tokenizer = Tokenizer.from_str(byte_level().to_str())
    assert names_of(wrapped(tokenizer, eos_token="<|endoftext|>"), text) == expected


def test_tokens_of_half_characters_keep_the_bytes_and_whole_ones_their_characters():
    alphabet = {chr(256 + place): place for place in range(8)}
    spelled = {"ä¸Ń": 20, "Ġä¸Ń": 21, "ä¸": 22, "Ġä¸": 23, "¸Ń": 24, "ðŁĺ": 25, "ĊĊ": 26, "Ġ": 27}
    tokenizer = Tokenizer(models.BPE(vocab={**alphabet, **spelled}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    names = token_names(wrapped(tokenizer))
    wanted = ["中", " 中", "<0xE4><0xB8>", " <0xE4><0xB8>", "<0xB8><0xAD>", "<0xF0><0x9F><0x98>", "\\n\\n", " "]
    assert [names[token] for token in range(20, 28)] == wanted


def test_words_of_characters_show_their_space_and_bytes_their_number():
    tokenizer = wrapped(sentencepiece("llama", extra=BYTES), bos_token="<s>", unk_token="<unk>")
    names = token_names(tokenizer)
    known = tokenizer.get_vocab()
    ids = [known[text] for text in ("▁Mary", "Mary", "<0xE4>", "<s>", "▁", "<0x0A>")]
    assert [names[token] for token in ids] == [" Mary", "Mary", "<0xE4>", "<s>", " ", "<0x0A>"]


def many() -> dict[str, Any]:
    spaced = added(wrapped(byte_level(), eos_token="<|endoftext|>"), "  ", "\n", " Mary ", "東", "Ġ")
    return {
        "byte-level": wrapped(byte_level()),
        "byte-level with spaces of its own": spaced,
        "llama": wrapped(sentencepiece("llama", extra=[*BYTES, " ", " Mary", "\\n", "\n"]), unk_token="<unk>"),
        "words": wrapped(words({"a": 0, " a": 5, "▁a": 7, "\n": 8, "\\n": 9, "a\n": 10, "<unk>": 11})),
        "python": PythonWords(),
    }


@pytest.mark.parametrize("kind", [*many()])
def test_different_tokens_have_different_names_which_print_and_stay(kind: str):
    tokenizer, again = many()[kind], many()[kind]
    names = token_names(tokenizer)
    assert {*names} == {*tokenizer.get_vocab().values()}
    assert len({*names.values()}) == len(names)
    assert all(name and name.isprintable() for name in names.values())
    assert token_names(again) == names
