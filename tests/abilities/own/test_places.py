"""Positions by the text that stands there."""

import re
from collections.abc import Callable
from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.core.tokens.spans import spans_of
from tests.abilities.own.written import bytes_model, llama_model, python_model

CLEAN, CORRUPT = "When Mary and John met , John gave a book to", "When Mary and John met , Mary gave a book to"
MODELS: list[Callable[[], HookedModel]] = [bytes_model, llama_model, python_model]


def placed(model: HookedModel, place: Any, *, clean: str = CLEAN, corrupt: str = CORRUPT) -> int:
    texts: dict[str, Any] = {"clean": [clean], "corrupt": [corrupt], "answer": [" Mary"], "foil": [" John"]}
    return int(ie.PromptPairs.from_text(model, **texts, positions={"x": place}).positions["x"])


@pytest.mark.parametrize("made", MODELS)
@pytest.mark.parametrize(
    ("place", "word", "number"),
    [
        ("When", "When", 1),
        ("Mary and", "and", 1),
        (("John", 2), "John", 2),
        (("John", -1), "John", 2),
        ({"clean": ("John", 2), "corrupt": ("Mary", 2)}, "John", 2),
        ("a book ", "book", 1),
        ("ook", "book", 1),
    ],
)
def test_a_text_is_at_its_last_token(made: Callable[[], HookedModel], place: Any, word: str, number: int):
    model = made()
    ids = model.bos + model.encode(CLEAN)
    words = [name.strip() for name in model.words(ids)]
    wanted = [at for at in range(len(ids)) if words[at] == word]
    at = placed(model, place)
    assert at == (wanted[number - 1] if wanted else None) or "".join(words[: at + 1]).endswith(word)


def test_a_word_of_several_tokens_is_at_its_last_byte():
    model = bytes_model()
    text = " When xyz met"
    at = placed(model, "xyz", clean=text, corrupt=" When xyw met")
    assert model.words(model.encode(text))[at] == "z"


def test_a_character_of_several_tokens_is_at_its_last():
    model = bytes_model()
    text = " When 東 met"
    at = placed(model, "東", clean=text, corrupt=text.replace("met", "and"))
    names = model.words(model.encode(text))
    assert names[at].startswith("<0x") and names[at + 1] == " met"


def test_places_of_a_python_tokenizer_are_those_of_the_same_rust_one():
    model = python_model()
    assert [CLEAN[start:end].strip() for start, end in spans_of(model.lexicon, CLEAN)] == CLEAN.split()


def test_a_tokenizer_that_does_not_spell_the_text_gives_no_places():
    model = python_model()
    with pytest.raises(ie.InterpEmergeError, match="the tokens do not decode to the text; give positions as whole"):
        placed(model, "met", clean=CLEAN.replace(" met", "  met"), corrupt=CORRUPT.replace(" met", "  met"))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("Paul", "position 'x' of pair 0: 'Paul' is not in the clean prompt 'When Mary and John met"),
        ("John", "position 'x' of pair 0: 'John' is in the clean prompt 2 times; say which one, such as ('John', 2)"),
        (("John", 3), "'John' is in the clean prompt 2 times, so there is no occurrence 3"),
        (("John", 0), "position 'x' cannot be a tuple; give an index, a text, or a text and which occurrence"),
        ("", "position 'x' cannot be empty text"),
        (("John", 1.5), "position 'x' cannot be a tuple"),
        (("John", True), "position 'x' cannot be a tuple"),
        ({"clean": "When"}, "position 'x' of pair 0 has the keys ['clean']; give 'clean' and 'corrupt'"),
        ({"clean": "When", "corrupt": "met"}, "is token 0 of the clean prompt and token 4 of the corrupted one"),
        (20, "position 'x' of pair 0 is 20, beyond the prompt's"),
        (["When", "met"], "position 'x' has 2 entries for 1 clean prompts"),
    ],
)
def test_a_place_that_cannot_be_found_is_refused(place: Any, message: str):
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        placed(bytes_model(), place)


def test_a_word_that_only_moved_is_refused():
    moved = "When John and Mary met , John gave a book to"
    with pytest.raises(ie.InterpEmergeError, match="is token 1 of the clean prompt and token 3 of the corrupted one"):
        placed(bytes_model(), ("Mary", 1), corrupt=moved)


def test_a_text_that_was_corrupted_before_its_last_token_has_to_be_given_for_both():
    model, corrupt = bytes_model(), CLEAN.replace("and John", "to John")
    with pytest.raises(
        ie.InterpEmergeError, match="'and John' is 1 times in the clean prompt and 0 times in the corrup"
    ):
        placed(model, "and John", corrupt=corrupt)
    assert placed(model, {"clean": "and John", "corrupt": "to John"}, corrupt=corrupt) == placed(model, ("John", 1))


def test_places_need_text():
    pair = ie.Pair(clean=[1, 2], corrupt=[1, 3], answer=4, foil=5, positions={"x": "Mary"})
    with pytest.raises(ie.InterpEmergeError, match="position 'x' of pair 0 is text; give both prompts as text"):
        ie.PromptPairs.from_rows([pair])
