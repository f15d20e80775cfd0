"""A name for every token of a vocabulary: different tokens have different names.

The tokens of a byte-level vocabulary are bytes. Bytes that form whole characters are shown as characters, others one by
one as `<0xE4>`, the form in which vocabularies of characters write single bytes. A space that belongs to a token is
shown. Newlines and other characters that do not print are escaped. If two tokens would get the same name, each gets
the vocabulary's own string instead, and its number as well if that is not enough.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

WORD_START = "▁"
"""The sign for a space in vocabularies of characters."""


def token_names(tokenizer: Any) -> dict[int, str]:
    """The name of each id that the tokenizer knows."""
    strings = {int(token): text for text, token in tokenizer.get_vocab().items()}
    added = {int(token): str(content) for token, content in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    read = _from_bytes if _is_byte_level(tokenizer) else _from_characters
    names = {token: _visible(added[token] if token in added else read(text)) for token, text in strings.items()}
    _rename_equal(names, lambda token: _visible(strings[token]))
    while _rename_equal(names, lambda token: f"{names[token]} ({token})"):
        pass
    return names


def _rename_equal(names: dict[int, str], name: Callable[[int], str]) -> bool:
    """Give each token that shares its name another name; returns whether there were any."""
    count = Counter(names.values())
    alike = [token for token, shared in names.items() if count[shared] > 1]
    for token in alike:
        names[token] = name(token)
    return bool(alike)


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "byte_decoder")
    return any("ByteLevel" in repr(part) for part in (backend.decoder, backend.pre_tokenizer))


def _from_characters(text: str) -> str:
    return text.replace(WORD_START, " ")


def _from_bytes(text: str) -> str:
    """The text that a token's bytes spell; bytes that form no whole character are shown as numbers."""
    alphabet = _byte_alphabet()
    if any(character not in alphabet for character in text):
        return text
    spelled = bytes(alphabet[character] for character in text).decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(one) - 0xDC00:02X}>" if "\udc80" <= one <= "\udcff" else one for one in spelled)


@cache
def _byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (Radford et al., 2019: GPT-2's)."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _visible(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
