"""Every example of a docstring runs on the bundled family, and shows what it says."""

import ast
import doctest
import re
from pathlib import Path

import pytest

from docs.site.public_names import PublicName, first_places
from tests.docs.prepared import Prepared
from tests.docs.running import run

PUBLIC = {name.path: name for name in first_places().values()}
EXAMPLES = {
    path if owner == "" else f"{path}.{owner}": text
    for path, name in PUBLIC.items()
    for owner, text in {"": name.docstring, **{one: text for one, (_, text) in name.members.items()}}.items()
    if ">>>" in text
}
MOST_LINES = 6


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_runs_and_gives_what_it_shows(
    path: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_examples(EXAMPLES[path])
    assert sum(one.source.count("\n") for one in examples) <= MOST_LINES
    names: dict[str, object] = {}
    for one in examples:
        for _, value in run(one.source, names, prepared, path):
            if one.want:
                flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
                assert doctest.OutputChecker().check_output(one.want, f"{value!r}\n", flags), repr(value)


def needs_an_example(name: PublicName) -> bool:
    """Records, verdicts and tables come out of a function and are shown there; those at the front have their own."""
    return isinstance(name.statement, ast.FunctionDef) or name.path.count(".") == 1


def test_every_public_function_and_every_name_at_the_front_is_in_an_example():
    code = "\n".join(
        line for text in EXAMPLES.values() for line in text.split("\n") if line.lstrip().startswith((">>>", "..."))
    )
    with_their_own = {".".join(path.split(".")[:2]) for path in EXAMPLES}
    wanted = {path: name for path, name in PUBLIC.items() if needs_an_example(name)}
    called = {path for path, name in wanted.items() if re.search(rf"\.{name.name}\(", code)}
    assert {*wanted} - called - with_their_own == set()
    assert len(wanted) > 100, "the names are found"
