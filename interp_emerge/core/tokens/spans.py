"""Which characters of a text each of its tokens covers.

A tokenizer of the Rust kind says so itself. For one that is written in Python, the tokens are decoded one after the
other: the text decoded from the first tokens has to be the beginning of the whole text, else there is an error.
"""

from itertools import pairwise
from typing import Any

from interp_emerge.core.errors import InputError
from interp_emerge.core.tokens.lexicon import SENTENCES, Lexicon

Spans = list[tuple[int, int]]
"""First character of each token, and the one after its last."""
BROKEN = "\ufffd"
"""What stands for a part of a character when tokens are decoded."""


def spans_of(lexicon: Lexicon, text: str) -> Spans:
    """The characters of each token of `lexicon.continuation(text)`. Tokens that share a character all cover it.

    Raises:
        InputError: the tokenizer cannot express the text, or does not say where its tokens are.
    """
    ids = lexicon.continuation(text)
    if getattr(lexicon.tokenizer, "is_fast", False):
        for sentence in ("", *SENTENCES):
            found = lexicon.tokenizer(sentence + text, add_special_tokens=False, return_offsets_mapping=True)
            if [*found["input_ids"]][-len(ids) :] == ids:
                offsets = found["offset_mapping"][-len(ids) :]
                spans = [(max(start - len(sentence), 0), end - len(sentence)) for start, end in offsets]
                if _in_order(spans, text):
                    return spans
    return _by_decoding(lexicon.tokenizer, ids, text)


def last_token_of(spans: Spans, start: int, end: int) -> int | None:
    """The last token that covers a character from `start` to before `end`; None if there is none."""
    covering = [place for place, (first, after) in enumerate(spans) if first < end and after > start]
    return covering[-1] if covering else None


def _in_order(spans: Spans, text: str) -> bool:
    ordered = all(one[0] <= other[0] for one, other in pairwise(spans))
    return ordered and all(0 <= start <= end <= len(text) for start, end in spans)


def _by_decoding(tokenizer: Any, ids: list[int], text: str) -> Spans:
    """Spans from the texts that the first one, two, three ... tokens decode to."""
    how = {"clean_up_tokenization_spaces": False, "skip_special_tokens": False}
    read = [str(tokenizer.decode(ids[:n], **how)).rstrip(BROKEN) for n in range(1, len(ids) + 1)]
    lead = len(text) - len(read[-1])
    if lead < 0 or text[:lead].strip() or any(not text.startswith(part, lead) for part in read) or read[-1] == "":
        raise InputError(f"cannot find out which characters of {text[:40]!r} each token covers, because the tokens do "
                         "not decode to the text; give positions as whole numbers")  # fmt: skip
    ends = [lead + len(part) for part in read]
    starts = [0, *ends[:-1]]
    # A token that holds only a part of a character covers the whole of it.
    return [(start, max(end, min(start + 1, len(text)))) for start, end in zip(starts, ends, strict=True)]
