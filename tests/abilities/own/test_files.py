"""Files of prompt pairs: what they may hold, and one line with a number for what they may not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import interp_emerge as ie
from interp_emerge.abilities.own.file import read_file
from tests.abilities.own.written import row, write

ROW = {"clean": "a", "corrupt": "b", "answer": "c", "foil": "d"}


def line(**changed: Any) -> str:
    return json.dumps({**ROW, **changed})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " has no rows; give at least one pair: clean, corrupt, answer, foil"),
        (b'{"name": "x"}\n', " has no rows"),
        (b"\xff\xfe{\x00", ", line 1: byte 0xff is not UTF-8; save the file as UTF-8"),
        (line().encode() + b"\n\xe9", ", line 2: byte 0xe9 is not UTF-8"),
        (b"[1, 2]\n", ', line 1: holds [1, 2], not an object; give {"clean": ..., ...}'),
        (b"\n{clean}\n", ", line 2: not JSON (Expecting property name"),
        (b'{"clean": "a", "clean": "b"}', ", line 1: not JSON (key 'clean' stands twice)"),
        (line().encode() + b'\n{"clean": NaN}', ", line 2: not JSON (NaN is not a number)"),
        (line(answer=[[["c"]]]).encode(), ', line 1: answer is [[["c"]]]; give a text or a list of texts'),
        (b"[" * 200_000, ", line 1: its lists are nested too deeply"),
        (line(answer=[]).encode(), ", line 1: answer is empty; give at least one text"),
        (line(foil=["d", ""]).encode(), ", line 1: foil is empty"),
        (line(answer=7).encode(), ", line 1: answer is 7; give a text or a list of texts"),
        (b'{"clean": "a", "corrupt": "b", "answer": "c"}', ", line 1: lacks 'foil'; give clean, corrupt, answer"),
        (line(cleen="x").encode(), ", line 1: has the unknown key 'cleen'; did you mean 'clean'?"),
        (line(positions={}).encode(), "the key 'positions' is unknown; write position.NAME and variable.NAME"),
        (b'{"chance": 0.5}\n\n{"chance": 0.2}\n' + line().encode(), ", line 3: has no prompts, and line 1 describes"),
        (line(**{"variable.x": 1e300}).encode(), ", line 1: variable.x is 1e+300, a number with a point or exponent"),
        (line(**{"variable.x": 0}).replace("0}", "9007199254740993.0}").encode(), "single precision does not hold"),
        (line(**{"variable.x": 16777217.0}).encode(), ", line 1: variable.x is 16777217.0, a number with a point"),
        (line(**{"variable.x": 1e-60}).encode(), ", line 1: variable.x is 1e-60, a number with a point"),
        (b'{"nmae": "x"}\n' + line().encode(), ", line 1: has the unknown key 'nmae'; did you mean 'name'?"),
        (b'{"name": "../../etc"}\n' + line().encode(), "line 1: name '../../etc' cannot name an ability; use letters"),
        (b'{"name": "<b>x</b>"}\n' + line().encode(), "line 1: name '<b>x</b>' cannot name an ability"),
        (b'{"chance": 1.5}\n' + line().encode(), ", line 1: chance is 1.5; input should be less than 1"),
        (b'{"chance": 0.5, "ceiling": 0.4}\n' + line().encode(), "chance 0.5 is not below the ceiling 0.4"),
        (line(clean="").encode(), ", line 1: clean is \"\"; string should have at least 1 character"),
        (line(clean="\ud800").encode(), ", line 1: 'clean' holds half of a character"),
        (line(**{"variable.x": [1]}).encode(), ", line 1: variable.x is [1]; give a number or a label"),
        (line(**{"variable.x": 2**60}).encode(), ", line 1: variable.x is beyond 2^53"),
        (line(**{"variable.x": 0}).replace("0}", "1e999}").encode(), ", line 1: variable.x is Infinity; give a number"),
        (line(**{"variable.": 1}).encode(), ", line 1: 'variable.' has no name behind the dot"),
        (line(**{"position.x": 1.5}).encode(), ", line 1: position.x is 1.5; give an index, a text, or"),
        (line(split="train").encode(), ', line 1: split is "train"; input should be'),
        ((line(split="discovery") + "\n" + line()).encode(), ", line 2: split is '' and in line 1 'discovery'"),
        ((line() + "\n\n" + line(**{"position.x": 1})).encode(), ", line 3: has position.x, which line 1 lacks"),
        ((line(**{"variable.x": 1}) + "\n" + line()).encode(), ", line 2: lacks variable.x, which line 1 has"),
        ((line(**{"variable.x": 1}) + "\n" + line(**{"variable.x": "a"})).encode(), "give only numbers or only labels"),
        (("\n".join([line(), line(a=1), line(b=2), "7"])).encode(), " (2 other lines are bad too)"),
    ],
)  # fmt: skip
def test_a_bad_line_of_json_is_named(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)) as caught:
        read_file(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", " has no rows"),
        ("clean,corrupt,answer,foil\n", " has no rows"),
        ("clean;corrupt;answer;foil\n", ", line 1: has the single column 'clean;corrupt;answer;foil'; separate"),
        ("clean,corrupt,clean\na,b,c\n", ", line 1: names the column 'clean' twice"),
        ("clean,corrupt,answer,foil\na,b,c\n", ", line 2: has 3 cells for 4 columns; put texts that hold a comma"),
        ("clean,corrupt,answer\na,b,c\n", ", line 2: lacks 'foil'"),
        (
            'clean,corrupt,answer,foil\n"a\nb",c,d,e\na,b,"[1, 2]",d\n',
            ", line 4: answer is [1, 2]; give a text or a list",
        ),
        ("clean,corrupt,answer,foil\na,b,[c],d\n", ", line 2: answer '[c]' is not a JSON list"),
        ('clean,corrupt,answer,foil\na,b,"c,d\n', "not CSV (unexpected end of data)"),
        ("clean,corrupt,answer,foil,variable.x\na,b,c,d,nan\n", ", line 2: variable.x is 'nan', not a finite number"),
        ("clean,corrupt,answer,foil,variable.x\na,b,c,d,\n", ", line 2: variable.x is empty; give a number or a label"),
        ("clean,corrupt,answer,foil,variable.x\na,b,c,d,1e999\n", ", line 2: variable.x is '1e999', not a finite"),
        ("clean,corrupt,answer,foil,variable.x\na,b,c,d," + "9" * 5000 + "\n", "not a finite number"),
        (
            "clean,corrupt,answer,foil,position.x\nIn 1999 a,In 1998 a,c,d,1999\n",
            ', line 2: position.x is 1999, an index, but the clean prompt has that text too; write ["1999", 1] for the '
            "text, or [1999] for the index",
        ),
        ("clean,corrupt,answer,foil,position.x\na,b 2,c,d,2\n", "but the corrupt prompt has that text too"),
        ("clean,corrupt,answer,foil,x\na,b,c,d,e\n", ", line 2: has the unknown key 'x'"),
    ],
)
def test_a_bad_line_of_csv_is_named(content: str, message: str, tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text(content, newline="")
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)) as caught:
        read_file(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_both_kinds_hold_the_same_rows_with_bom_and_windows_lines(tmp_path: Path):
    rows = [
        {**ROW, "answer": ["c", "e, f"], "template": "t", "position.p": ["a", 1], "position.q": -1, "variable.n": 1,
         "variable.l": "x"},
        {**ROW, "clean": 'say "a"', "template": "t", "position.p": "a", "position.q": 0, "variable.n": 2.5,
         "variable.l": "7"},
    ]  # fmt: skip
    text = (
        "clean,corrupt,answer,foil,template,position.p,position.q,variable.n,variable.l\r\n"
        'a,b,"[""c"", ""e, f""]",d,t,"[""a"", 1]",-1,1,x\r\n\r\n'
        '"say ""a""",b,c,d,t,a,0,2.5,7\r\n'
    )
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "mine.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows)).encode())
    one, other = (read_file(tmp_path / f"mine.{ending}") for ending in ("csv", "jsonl"))
    assert [*one.rows] == [*other.rows]
    assert [*one.lines] == [2, 4] and [*other.lines] == [1, 2]
    assert one.digest != other.digest


@pytest.mark.parametrize("cell", ["1_2", "٣", " 3 ", "007", "+1", "1.", ".5", "0x1", "-"])
def test_what_is_not_written_as_a_number_in_json_is_text_in_csv(cell: str, tmp_path: Path):
    (tmp_path / "mine.csv").write_text(f"clean,corrupt,answer,foil,variable.x,position.p\na,b,c,d,{cell},{cell}\n")
    (read,) = read_file(tmp_path / "mine.csv").rows
    assert (read.variables, read.positions) == ({"x": cell}, {"p": cell})


@pytest.mark.parametrize(("cell", "value"), [("-3", -3), ("0", 0), ("2.50", 2.5), ("1e-05", 1e-05)])
def test_numbers_in_csv_are_those_of_json(cell: str, value: float, tmp_path: Path):
    (tmp_path / "mine.csv").write_text(f"clean,corrupt,answer,foil,variable.x\na,b,c,d,{cell}\n")
    (read,) = read_file(tmp_path / "mine.csv").rows
    assert read.variables == {"x": value} and type(read.variables["x"]) is type(value)


def test_an_index_or_a_text_that_is_a_number_can_be_written_in_csv(tmp_path: Path):
    text = 'clean,corrupt,answer,foil,position.p,position.q\na 1,b 1,c,d,"[""1"", 1]",[1]\n'
    (tmp_path / "mine.csv").write_text(text)
    assert read_file(tmp_path / "mine.csv").rows[0].positions == {"p": ["1", 1], "q": 1}


def test_ten_thousand_columns_are_read_or_named(tmp_path: Path):
    many = {f"variable.v{number}": number for number in range(10_000)}
    content = read_file(write(tmp_path / "mine.jsonl", [{**ROW, **many}] * 2))
    assert len(content.rows[0].variables) == 10_000
    path = tmp_path / "mine.csv"
    path.write_text(",".join([*ROW, *many]) + "\n" + ",".join([*ROW.values(), *map(str, many.values())]) + "\n")
    assert read_file(path).rows[0].variables == content.rows[0].variables
    odd = write(tmp_path / "odd.jsonl", [{**ROW, **{f"v{number}": number for number in range(10_000)}}])
    with pytest.raises(ie.InterpEmergeError, match="line 1: has the unknown key 'v0'"):
        read_file(odd)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", "missing.jsonl is not there; give a file of prompt pairs"),
        ("folder.csv", "folder.csv is not a file"),
        ("sub/induction", "induction ends in 'nothing'; give a file of prompt pairs that ends in .jsonl or .csv"),
        ("mine.txt/", "mine.txt ends in '.txt'"),
    ],
)
def test_what_is_not_such_a_file_is_refused(name: str, message: str, tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
        ie.load_ability(f"{tmp_path}/{name}")


def test_a_name_that_is_no_file_is_looked_for_on_the_shelf():
    with pytest.raises(ie.InterpEmergeError, match="unknown ability 'inductoin'; did you mean 'induction'"):
        ie.load_ability("inductoin")
    with pytest.raises(ie.InterpEmergeError, match="'mine@0123' names a file by its content"):
        ie.load_ability("mine@0123")


def test_the_name_is_never_a_path_or_markup(tmp_path: Path):
    evil = write(tmp_path / "..<img onerror=x>&.jsonl", [row(0)])
    assert ie.load_ability(evil).name == "_img onerror_x__"
    taken = write(tmp_path / "induction.jsonl", [row(0)])
    with pytest.raises(ie.InterpEmergeError, match="'induction' is the name of an ability that comes with the package"):
        ie.load_ability(taken)
