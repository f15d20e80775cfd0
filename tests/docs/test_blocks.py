"""Every block of code in the README, the pages and CONTRIBUTING runs, or says in the source why it does not."""

import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from interp_emerge.cli import app
from tests.docs.prepared import Prepared
from tests.docs.running import run

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
REASONS = {
    "needs a network": 3,
    "needs a model that reads English, and none is bundled": 1,
    "takes long": 5,
    "is code of another package": 4,
    "is a file of its own, which other tests add": 2,
}
"""Why blocks of Python are not run, and how many there are for each reason."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    code: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().split("\n")
    start = None
    for at, line in enumerate(lines):
        if line.startswith("```") and start is None:
            start = at
        elif line.startswith("```") and start is not None:
            reason = NOT_RUN.fullmatch(next((one for one in lines[start - 1 :: -1] if one), ""))
            code = "\n".join(lines[start + 1 : at])
            yield Block(page, start + 1, lines[start][3:], code, reason[1] if reason else "")
            start = None


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [
    (block, line.partition(" #")[0].strip())
    for block in BLOCKS
    if block.language == "sh"
    for line in block.code.split("\n")
    if line.strip()
]


QUICKER = {
    '"560k"': '"25k"',
    "n=256": "n=48",
    'size="200k", step': 'size="25k", step',
    "sample(model, 64)": "sample(model, 8)",
}


def smaller(code: str) -> str:
    """The same code on a smaller model and fewer pairs."""
    for large, small in QUICKER.items():
        code = code.replace(large, small)
    return code


@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}), ids=lambda page: page.name)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in PYTHON:
        if block.page == page and not block.not_run:
            for _ in run(smaller(block.code), names, prepared, str(block)):
                pass


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_code_that_is_not_run_is_python(block: Block):
    compile(block.code, str(block), "exec")


def test_as_few_blocks_as_are_counted_here_are_not_run():
    assert Counter(block.not_run for block in PYTHON if block.not_run) == REASONS
    assert len(PYTHON) - sum(REASONS.values()) >= 9, "the others are found"


def parsed(words: list[str]) -> None:
    """Reads a command as the command line does, its verb and options, and computes nothing."""
    verb: Any = typer.main.get_command(app)
    while commands := getattr(verb, "commands", None):
        assert words[0] in commands, f"{words[0]} is no command"
        verb, words = commands[words[0]], words[1:]
    verb.make_context(verb.name, words)


@pytest.mark.parametrize("command", [command for _, command in COMMANDS])
def test_a_command_of_a_page_is_one_that_there_is(command: str):
    words = shlex.split(command.rstrip("&"))
    if words[0] == "interp-emerge":
        parsed(words[1:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    else:
        assert words[0] in ("python", "pip", "dask", "export")


def test_a_command_with_an_option_that_there_is_not_is_seen():
    with pytest.raises(Exception, match="--seize"):
        parsed(["run", "--seize", "3k"])
    with pytest.raises(AssertionError, match="no command"):
        parsed(["rum"])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("json", "toml")], ids=str)
def test_a_file_on_a_page_can_be_read(block: Block):
    if block.language == "toml":
        assert tomllib.loads(block.code)
    else:
        assert all(json.loads(line) for line in block.code.split("\n"))


def test_blocks_name_their_language():
    assert {block.language for block in BLOCKS} <= {"python", "sh", "json", "toml", "text", "bibtex", "csv"}
