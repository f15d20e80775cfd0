"""The list of abilities and their page say what the items say."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interp_emerge import cli
from interp_emerge.abilities import shelf

PAGE = (Path(__file__).parents[2] / "docs" / "abilities.md").read_text()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `interp-emerge list abilities` prints."""

    def run(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["interp-emerge", "list", "abilities", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_the_list_gives_source_chance_templates_and_variables(listed: Callable[..., str]):
    rows = {row["name"]: row for row in json.loads(listed("--json"))}
    assert [*rows] == shelf.names()
    for ability in shelf:
        row = rows[ability.name]
        assert row["source"] == str(ability.source) and row["chance"] == pytest.approx(ability.chance, abs=6e-4)
        assert row["templates"] == [*ability.templates]
        assert row["corruptions"].split(", ") == [*ability.corruptions]
        assert row["variables"].split(", ") == [*ability.variables]
        assert row["positions"].split(", ") == [*ability.positions]


def test_the_printed_list_gives_the_number_of_templates(listed: Callable[..., str]):
    (line,) = (line for line in listed().splitlines() if line.split()[:1] == ["ioi"])
    assert " 30 " in line and "swapped subject, abc" in line


@pytest.mark.parametrize("name", shelf.names())
def test_the_page_of_abilities_describes_it(name: str):
    ability = shelf[name]
    section = PAGE.split(f"\n### {name}\n")[1].split("\n### ")[0]
    assert ability.source.url in section and f"Chance {ability.chance:.3g}." in section
    assert all(f"corruption *{one}* | {about}" in section for one, about in ability.corruptions.items())
    assert all(one in section for one in (*ability.positions, *ability.variables, *ability.variations))
    assert "; ".join(ability.templates) in section
