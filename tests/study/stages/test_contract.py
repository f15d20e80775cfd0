"""What holds for every stage: its order, its tables, its plan, and that its results are read back."""

from pathlib import Path

import pytest

import interp_emerge as ie
from interp_emerge.study.engine import do
from interp_emerge.study.rounds import ROUNDS
from interp_emerge.study.stages import in_order, of_round, shelf
from interp_emerge.study.stages.base import Results, StageWithCells
from interp_emerge.study.stages.circuit import circuits
from tests.studies import SETTINGS, MadeOnce, small_study


@pytest.fixture(scope="module")
def results(made_once: MadeOnce) -> Results:
    """The results of a finished study, read from disk."""
    out: Path = made_once("small study", small_study)
    study = ie.Study(out=str(out), **SETTINGS)
    found = Results(study._work(read_only=True))
    for one in ROUNDS:
        for key in one.keys(study.grid, [*circuits(found)]):
            do(found.work, one, key, found)
    return found


def test_every_stage_comes_after_those_that_it_needs_and_in_no_later_round():
    place = {stage.name: at for at, stage in enumerate(in_order())}
    rounds = {stage.name: at for at, one in enumerate(ROUNDS) for stage in of_round(one)}
    assert {*place} == {*shelf.names()}
    for stage in in_order():
        for needed in stage.needs:
            assert place[needed.name] < place[stage.name]
            assert needed.name in rounds and rounds[needed.name] <= rounds.get(stage.name, len(ROUNDS))


def test_no_two_stages_fill_the_same_table_and_every_column_has_a_meaning():
    tables = [table for stage in in_order() for table in stage.tables]
    assert len({table.name for table in tables}) == len(tables)
    assert all(table.row and all(table.columns.values()) for table in tables)


@pytest.mark.slow
@pytest.mark.parametrize("name", shelf.names())
def test_a_stage_fills_its_tables_from_the_results(name: str, results: Results):
    stage = shelf[name]
    frames = stage.fill(results)
    assert len(frames) == len(stage.tables)
    for table, frame in zip(stage.tables, frames, strict=True):
        if len(frame):  # the small study has only one circuit, so nothing is compared
            assert {*table.about} <= {*frame}, f"{table.name} lacks columns that say what its rows are about"
        assert [*table.shaped(frame)] == [*table.columns]


@pytest.mark.slow
@pytest.mark.parametrize("name", shelf.names())
def test_a_stage_describes_what_it_computes_and_why_it_does_not(name: str, results: Results):
    stage = shelf[name]
    if isinstance(stage, StageWithCells):
        assert stage.each(results.work) and stage.reuses(results.work)
        assert all(why and not why.endswith(".") for why in results.left_out(stage).values())
        assert results.of(stage) or stage.name == "comparison"
