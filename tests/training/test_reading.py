"""Which files of a folder are read, and how they are divided."""

from pathlib import Path

import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.training.reading import FEW_FILES, PASSAGE, passages, read_folder, split_documents


def test_texts_are_read_below_the_folder_in_order_and_others_are_not(tmp_path: Path):
    for name in ("b.txt", "a/deep/c.py", "notes.MD", ".hidden.txt", ".git/x.txt", "picture.png", "empty.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.txt" else f"this is {name}\r\n", newline="")
    (tmp_path / "copy.txt").write_text("this is b.txt\n")
    (tmp_path / "grown").mkdir()
    (tmp_path / "grown/recipe.json").write_text("{}")
    (tmp_path / "grown/held_out.txt").write_text("of a family")
    texts = read_folder(tmp_path)
    assert texts.names == ("a/deep/c.py", "b.txt", "notes.MD")
    assert texts.texts[1] == "this is b.txt\n"
    assert texts.n_copies == 1
    assert read_folder(tmp_path / "b.txt").names == ("b.txt",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("picture.png", b"x", "contains no text; files are read whose names end in .txt, .md"),
        ("latin.txt", b"caf\xe9", r"latin.txt is not text in UTF-8 \(byte 3\); save it in UTF-8"),
        ("blank.txt", b" \n", "contains no text"),
    ],
)
def test_a_folder_without_text_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, said: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="there is no folder"):
        read_folder(tmp_path / "none")


@pytest.mark.parametrize("n_files", [1, FEW_FILES])
def test_whole_documents_are_held_out(tmp_path: Path, n_files: int):
    for number in range(n_files):
        paragraphs = [f"paragraph {number} {at} " + "word " * 200 for at in range(40)]
        (tmp_path / f"{number}.txt").write_text("\n\n".join(paragraphs))
    texts = read_folder(tmp_path)
    split = split_documents(texts, share=0.2, seed=0)
    assert split.unit == ("passage" if n_files == 1 else "file")
    kept, held = "".join(split.training), "".join(split.held_out)
    assert len(kept) + len(held) == sum(map(len, texts.texts))
    assert 0.2 <= len(held) / (len(kept) + len(held)) < 0.35
    assert not {*split.training} & {*split.held_out}
    assert split == split_documents(texts, share=0.2, seed=0)
    assert split.held_out != split_documents(texts, share=0.2, seed=1).held_out


def test_passages_end_between_paragraphs_or_else_lines():
    text = "\n\n".join("one line\n" * 30 for _ in range(40)) + "\n\n" + "long line\n" * 2000
    parts = passages(text)
    assert "".join(parts) == text
    assert len(parts) > 5
    assert all(len(part) >= PASSAGE for part in parts)
    assert max(map(len, parts)) < 3 * PASSAGE


def test_one_passage_cannot_be_divided(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a few words")
    with pytest.raises(InputError, match="which is one passage, so none can be held out"):
        split_documents(read_folder(tmp_path), share=0.1)
