"""The ability of CONTRIBUTING.md is one file, and works as the page says."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge import abilities
from interp_emerge.abilities import shelf
from interp_emerge.core.model import HookedModel
from tests.abilities import tokenizers

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HookedModel]:
    """The page's example as a file of the shelf, and a model whose tokenizer knows its words."""
    (tmp_path / "spelling.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    monkeypatch.setattr(abilities, "__path__", [*abilities.__path__, str(tmp_path)])
    yield tokenizers.with_tokenizer(tokenizers.single_digits())
    shelf._items.pop("spelling", None)
    sys.modules.pop("interp_emerge.abilities.spelling", None)


def test_the_example_is_found_and_asks_what_it_says(added: HookedModel):
    assert "spelling" in shelf.names()
    ability, decode = ie.load_ability("spelling"), added.lexicon.tokenizer.decode
    for corruption in ability.corruptions:
        pairs = ability.sample(added, 12, corruption=corruption)
        for row in range(12):
            texts = (pairs[row].clean[0], pairs[row].corrupt[0])
            for text, letter in zip(map(decode, texts), (pairs.answer[row], pairs.foil[row]), strict=True):
                place, word = re.findall(r"The (\w+) letter of the word (\w+) is", text)[0]
                assert decode([letter]) == f" {word[0 if place == 'first' else -1].upper()}"
    assert "spelling" in ie.load_ability("spelling").name


def test_each_half_of_its_words_gives_other_prompts(added: HookedModel):
    halves = [ie.load_ability("spelling").sample(added, 12, split=split) for split in ("discovery", "evaluation")]
    prompts = [{tuple(row) for row in half.clean.tolist()} for half in halves]
    assert not prompts[0] & prompts[1]
