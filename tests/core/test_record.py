"""Every public record has a short text form, and a form for notebooks in which no name becomes markup."""

import inspect
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.record import LONG, Record
from interp_emerge.core.showing import Showing
from tests.test_lazy_imports import rooms

HOSTILE = "</script><img src=x onerror=1>"


def public_records() -> dict[str, type]:
    """Every public class that holds results or settings, by its name."""
    found = {}
    for path, room in rooms():
        for name in dir(room):
            item = getattr(room, name)
            if inspect.isclass(item) and is_dataclass(item):
                found[f"{path}.{name}"] = item
    return found


def filled(record: type) -> Any:
    """An instance whose every field holds a hostile name, alone or in a table."""
    one = object.__new__(record)
    for place, each in enumerate(fields(record)):
        value = pd.DataFrame({HOSTILE: [HOSTILE]}) if place == 0 else (HOSTILE, {HOSTILE: [HOSTILE]})
        object.__setattr__(one, each.name, value)
    return one


def test_every_public_record_shows_itself_in_a_notebook():
    found = public_records()
    assert len(found) > 50
    shown = ("_repr_html_", "_repr_mimebundle_")
    assert [name for name, record in found.items() if not any(hasattr(record, one) for one in shown)] == []
    for record in (ie.Runs, ie.Study, ie.HookedModel):
        assert hasattr(record, "_repr_html_") and record.__repr__ is not object.__repr__


def test_hostile_names_in_any_field_come_out_as_text():
    shown = [one for one in public_records().values() if getattr(one, "_repr_html_", None) is Record._repr_html_]
    generic = [record for record in shown if not hasattr(record, "to_frame")]
    assert len(generic) > 20
    for record in generic:
        html = Record._repr_html_(filled(record))
        assert "<img" not in html and "</script" not in html and "&lt;img" in html, record


@dataclass(frozen=True, kw_only=True)
class Kept(Record):
    name: str
    values: np.ndarray
    table: pd.DataFrame
    many: tuple[int, ...]


def test_a_records_text_is_short_and_says_the_size_of_what_is_long():
    kept = Kept(name="a", values=np.zeros((300, 4)), table=pd.DataFrame({"x": range(500)}), many=(*range(400),))
    said = (
        "Kept(name='a', values=<ndarray of shape [300, 4]>, table=<DataFrame of shape [500, 1]>, many=<tuple of 400>)"
    )
    assert repr(kept) == said
    assert repr(ie.stats.Interval(0.5, 0.25, 0.75)) == "Interval(value=0.5, low=0.25, high=0.75)"
    html = kept._repr_html_()
    assert "492 more" in html and "ndarray of shape" in html and len(html) < 3000
    assert len(repr(Kept(**{**vars(kept), "name": "x" * 10 * LONG}))) < 2 * LONG + 120


class Failing:
    """Raises whatever is asked of it."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error(HOSTILE)


class FailingEverywhere:
    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __repr__(self) -> Any:
        return 3


class Endless:
    def __repr__(self) -> str:
        return "x" * 5_000_000

    def __len__(self) -> int:
        raise OverflowError


@dataclass(frozen=True)
class Holding(Record):
    value: Any


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Failing(ZeroDivisionError), "<Failing: its repr failed: ZeroDivisionError>"),
        ([Failing(RecursionError)], "<list: its repr failed: RecursionError>"),
        (Failing(type(HOSTILE, (Exception,), {})), f"<Failing: its repr failed: {HOSTILE}>"),
        (FailingEverywhere(), "<FailingEverywhere: its repr failed: LookupError>"),
        (Endless(), "<Endless: its repr failed: OverflowError>"),
        (type("a\nb\x1b" * 50, (Failing,), {})(ValueError), None),
        (type("Coloured", (), {"__repr__": lambda self: "\x1b[31m"})(), "<Coloured>"),
        ("\ud800", repr("\ud800")),
    ],
    ids=lambda value: "" if isinstance(value, str) else "value",
)
def test_a_field_that_cannot_be_shown_is_named_and_the_rest_is_shown(value: Any, shown: str | None):
    text, html = repr(Holding(value)), Holding(value)._repr_html_()
    assert "\n" not in text and len(text) < 300 and "<img" not in html and len(html) < 600
    assert text.encode() and html.encode()
    assert shown is None or text == f"Holding(value={shown})"
    assert escape(text.removeprefix("Holding(value=").removesuffix(")")) in html


def test_a_table_with_a_cell_that_cannot_be_shown_is_described():
    table = pd.DataFrame({"x": [Failing(ValueError)]})
    html = Holding(table)._repr_html_()
    assert "&lt;DataFrame of shape [1, 1]&gt;" in html


def test_scores_of_lenses_and_of_use_escape_every_name():
    frame = pd.DataFrame({"site": [HOSTILE], "score": [1.0]})
    for made in (
        ie.probing.LensScores(frame=frame, per_pair=np.zeros((2, 1)), origin={"method": HOSTILE}),
        ie.probing.UseScores(frame=frame, per_pair=np.zeros((2, 1)), placebos=np.zeros((2, 1)), gap=np.zeros(2)),
    ):
        assert "<img" not in made._repr_html_() and "&lt;img" in made._repr_html_()


def test_a_result_without_a_table_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Showing()  # pyright: ignore[reportAbstractUsage]
