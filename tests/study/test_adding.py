"""A table, a stage and a section of the report are added as one file each, with no edit anywhere else."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.report import sections
from interp_emerge.study import stages
from interp_emerge.study.catalogue import all_tables
from interp_emerge.study.plan import in_lines
from interp_emerge.tables.io import as_markdown
from tests import studies

TABLE = """
import pandas as pd
from interp_emerge.core.model import HookedModel
from interp_emerge.tables.schema import MODEL_COLUMNS, Table

EDGE_COUNTS = Table(name="edge_counts", row="one graph", about=MODEL_COLUMNS, filled={"n_edges": "edges of the graph"})

def count_edges(model: HookedModel) -> pd.DataFrame:
    return pd.DataFrame([{"n_edges": model.graph.n_edges}])
"""
STAGE = """
from collections.abc import Sequence
import pandas as pd
from counting import EDGE_COUNTS, count_edges
from interp_emerge.study.grid import Checkpoint
from interp_emerge.study.rounds import LOCATE
from interp_emerge.study.stages import shelf
from interp_emerge.study.stages.base import Results, StageWithCells, stacked
from interp_emerge.study.work import Work

class Counting(StageWithCells[Checkpoint, pd.DataFrame]):
    name, round, tables = "edge_counts", LOCATE, (EDGE_COUNTS,)

    def each(self, work: Work) -> str:
        return "edges, counted"

    def reuses(self, work: Work) -> str:
        return "nothing"

    def why_not(self, work: Work, at: Checkpoint) -> str:
        return "its graph is small" if at.size == "3k" else ""

    def cell(self, work: Work, at: Checkpoint) -> pd.DataFrame:
        return work.frame("edge_counts", at, count_edges)

    def fill(self, results: Results) -> Sequence[pd.DataFrame]:
        return [stacked(cell.assign(**at._asdict()) for at, cell in results.of(self).items())]

shelf.add(Counting())
"""
SECTION = """
from counting import EDGE_COUNTS
from interp_emerge.report.reading import StudyRecord
from interp_emerge.report.sections import shelf
from interp_emerge.report.sections.base import Block, Section

def counted(study: StudyRecord) -> list[Block]:
    return [Block(notes=[f"{row.size} has {row.n_edges} edges." for row in study.table(EDGE_COUNTS).itertuples()])]

shelf.add(
    Section(
        name="edge_counts",
        place=35,
        title="How many edges there are",
        lead="Counted.",
        reads=(EDGE_COUNTS,),
        nothing="no graph was large enough",
        blocks=counted,
    )
)
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def study(made_once: studies.MadeOnce, tmp_path: Path) -> ie.Study:
    """A study that was run before there were these files."""
    out = shutil.copytree(made_once("small study", studies.small_study), tmp_path / "out")
    return ie.Study(out=str(out), **studies.SETTINGS)


@pytest.fixture
def added(study: ie.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The three files, each in its folder; afterwards everything is as it was."""
    for folder, name, text in (
        ("rooms", "counting", TABLE),
        ("a", "edge_counts", STAGE),
        ("b", "edge_counts", SECTION),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "rooms"))
    for room, folder in ((stages, "a"), (sections, "b")):
        assert [*room.shelf], "what was there before is registered once and stays"
        monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path / folder)])
        monkeypatch.setattr(room.shelf, "_items", dict(room.shelf._items))
    yield
    for module in ("counting", f"{stages.__name__}.edge_counts", f"{sections.__name__}.edge_counts"):
        sys.modules.pop(module, None)


@pytest.mark.usefixtures("added")
def test_one_file_each_is_in_the_plan_the_tables_and_the_report(study: ie.Study):
    planned = study.plan().set_index("stage").loc["edge_counts"]
    assert (planned["models"], planned["compute"], planned["left_out"]) == (1, 1, "1: its graph is small")
    assert "locate, edge_counts: 1 of 1 to compute, 0 on disk\n  computes edges, counted" in in_lines(study.plan())

    page = study.run().read_text()
    written = study.table("edge_counts")
    assert [*written] == ["size", "step", "seed", "n_edges", "known_fault"]
    assert written["size"].tolist() == ["7k"]
    assert '<section id="edge_counts"' in page and "How many edges there are" in page
    assert f"7k has {written['n_edges'].item()} edges." in page
    assert "<td>edge_counts</td><td>one graph</td>" in page
    assert "## `edge_counts`\n\nA row: one graph." in as_markdown(all_tables().values())
    assert study.plan().set_index("stage").loc["edge_counts", "done"] == 1


def test_a_table_that_no_stage_fills_any_more_is_removed(study: ie.Study):
    stray = study.out / "tables" / "edge_counts.parquet"
    pd.DataFrame({"n_edges": [1]}).to_parquet(stray)
    assert "edge_counts" not in study.run().read_text()
    assert not stray.exists() and "edge_counts" not in all_tables()
