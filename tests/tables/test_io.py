"""Tables written and read back, with the meaning of their columns."""

from pathlib import Path

import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.tables.io import as_markdown, read_described, read_table, write_table
from interp_emerge.tables.schema import MODEL_COLUMNS, Table

HEIGHTS = Table(
    name="heights",
    row="one tree",
    about={"forest": "name of the forest"},
    filled={"height": "height, metres", "ci_low": "lower end of its 95% interval; empty for a tree measured once"},
)
FRAME = pd.DataFrame({"forest": ["a", "b"], "height": [3, 4], "ci_low": [1.5, None]})


def test_columns_are_those_about_a_row_then_those_that_are_filled():
    assert [*HEIGHTS.columns] == ["forest", "height", "ci_low"]
    assert [*HEIGHTS.empty.columns] == [*HEIGHTS.columns] and HEIGHTS.empty.empty


def test_a_table_is_written_as_parquet_and_csv_and_read_back_unchanged(tmp_path: Path):
    write_table(FRAME, HEIGHTS, tmp_path)
    pd.testing.assert_frame_equal(read_table(HEIGHTS, tmp_path), FRAME)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "heights.parquet"), FRAME)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "heights.csv"), FRAME)


def test_a_parquet_file_contains_the_meaning_of_its_rows_and_columns(tmp_path: Path):
    write_table(FRAME, HEIGHTS, tmp_path)
    table, frame = read_described(tmp_path / "heights.parquet")
    assert (table.name, table.row, table.columns) == (HEIGHTS.name, HEIGHTS.row, HEIGHTS.columns)
    pd.testing.assert_frame_equal(frame, FRAME)


def test_the_same_table_makes_the_same_bytes(tmp_path: Path):
    for folder in ("a", "b"):
        write_table(FRAME, HEIGHTS, tmp_path / folder)
    assert (tmp_path / "a" / "heights.parquet").read_bytes() == (tmp_path / "b" / "heights.parquet").read_bytes()


def test_columns_are_put_in_order_and_others_left_out():
    shuffled = FRAME[FRAME.columns[::-1]].assign(extra=0)
    assert [*HEIGHTS.check(shuffled)] == [*HEIGHTS.columns]
    assert [*HEIGHTS.shaped(shuffled.drop(columns="height"))] == [*HEIGHTS.columns]
    assert HEIGHTS.shaped(FRAME.drop(columns="height"))["height"].isna().all()


def test_a_missing_column_is_named_with_its_meaning(tmp_path: Path):
    with pytest.raises(InputError, match=r"table 'heights' lacks column 'height' \(height, metres\)"):
        write_table(FRAME.drop(columns="height"), HEIGHTS, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_missing_table_says_to_run_the_study(tmp_path: Path):
    with pytest.raises(InputError, match="has no table 'heights'; run the study first"):
        read_table(HEIGHTS, tmp_path)


def test_a_table_from_before_a_column_was_added_says_to_run_the_study_again(tmp_path: Path):
    older = Table(name="heights", row="one tree", filled={"height": "height, metres"})
    write_table(FRAME, older, tmp_path)
    with pytest.raises(InputError, match=r"lacks column 'forest' \(.*\); run the study again"):
        read_table(HEIGHTS, tmp_path)


def test_a_file_without_a_description_or_that_is_not_a_table_is_refused(tmp_path: Path):
    path = tmp_path / "heights.parquet"
    FRAME.to_parquet(path)
    with pytest.raises(InputError, match=r"^\S+ has no description of its columns; run the study again$"):
        read_table(HEIGHTS, tmp_path)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"^\S+ is not a readable table; run the study again$"):
        read_table(HEIGHTS, tmp_path)


def test_tables_as_text_have_a_heading_each_and_a_row_a_column():
    other = Table(name="models", row="one model", filled=MODEL_COLUMNS)
    text = as_markdown([HEIGHTS, other])
    assert text.startswith("## `heights`\n\nA row: one tree.\n\n| column | meaning |\n|---|---|\n| `forest` | name of")
    assert text.count("## ") == 2 and text.endswith("| `seed` | seed of the training run |\n")
