import os
from pathlib import Path

import pytest

from interp_emerge.core.files import canonical_json, hash_of, write_atomically


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path):
    write_atomically(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(where: str, tmp_path: Path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_equal_values_have_equal_json_whatever_the_order_of_their_keys():
    assert (
        canonical_json({"b": 1, "a": [2.5, None]})
        == canonical_json({"a": [2.5, None], "b": 1})
        == b'{"a":[2.5,null],"b":1}'
    )


def test_a_hash_changes_with_the_value_and_only_with_it():
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
    assert len({hash_of(value) for value in ({"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, [])}) == 5
    assert len(hash_of({})) == 16
