from pathlib import Path

import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.tables.io import SCHEMAS, read_table, write_table


def invented(name: str) -> pd.DataFrame:
    return pd.DataFrame({column: [1.5, None] if column == "ci_low" else [1, 2] for column in SCHEMAS[name].columns})


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_of_every_table_says_what_it_means(name: str):
    assert SCHEMAS[name].name == name
    assert all(SCHEMAS[name].columns.values())


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_comes_back_from_parquet_as_it_was_written_and_stands_beside_it_as_csv(name: str, tmp_path: Path):
    frame = invented(name)
    write_table(frame, name, tmp_path)
    pd.testing.assert_frame_equal(read_table(name, tmp_path), frame)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"{name}.csv"), frame)


def test_columns_are_put_in_order_and_others_left_out():
    frame = invented("ability")
    shuffled = frame[frame.columns[::-1]].assign(extra=0)
    assert list(SCHEMAS["ability"].check(shuffled).columns) == list(frame.columns)


def test_a_missing_column_is_named_with_its_meaning(tmp_path: Path):
    lacking = invented("ability").drop(columns="chance")
    with pytest.raises(InputError, match=r"table 'ability' lacks column 'chance' \(accuracy of the best guess"):
        write_table(lacking, "ability", tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_missing_table_says_to_run_the_study(tmp_path: Path):
    with pytest.raises(InputError, match="holds no table 'roles'; run the study first"):
        read_table("roles", tmp_path)


def test_a_table_from_before_a_column_was_added_says_to_run_the_study_again(tmp_path: Path):
    invented("ability").drop(columns="tokens").to_parquet(tmp_path / "ability.parquet")
    with pytest.raises(InputError, match=r"lacks column 'tokens' \(.*\); run the study again"):
        read_table("ability", tmp_path)
