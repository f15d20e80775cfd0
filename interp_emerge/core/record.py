"""What every record of the package can do: a short text form, and a form for notebooks in which no name is markup."""

from collections.abc import Sized
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

LONG = 160
"""Most characters of a value in a record's text form; more, or several lines, are described instead."""


class Record:
    """A record whose text form is short whatever it holds, and which notebooks show as a table of its fields.

    A class that writes its own text form keeps it.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__repr__ in (object.__repr__, _text_of):
            cls.__repr__ = _text_of  # in the class itself, so that the decorator of dataclasses keeps it

    def _repr_html_(self) -> str:
        from interp_emerge.core.showing import html_of

        frames = _frames(self)
        shown = "".join(html_of(name, frame) for name, frame in frames.items())
        if hasattr(self, "to_frame"):
            return html_of(repr(self), self.to_frame())  # pyright: ignore[reportAttributeAccessIssue]
        said = [f"<tr><th>{escape(name)}</th><td>{escape(short_text(value))}</td></tr>" for name, value in _told(self)
                if name not in frames]  # fmt: skip
        rows = f"<table>{''.join(said)}</table>" if said else ""
        return f"<p>{escape(type(self).__name__ if said or frames else repr(self))}</p>{rows}{shown}"


def short_text(value: Any) -> str:
    """A value as text of one line; what is long is described by its kind and size."""
    shape = getattr(value, "shape", None)
    if shape is not None and not isinstance(value, int | float):
        return f"<{type(value).__name__} of shape {[*shape]}>"
    text = repr(value)
    if len(text) <= LONG and "\n" not in text:
        return text
    if isinstance(value, str):
        return f"{text[: LONG - 1]}…"
    many = f" of {len(value):,}" if isinstance(value, Sized) else ""
    return f"<{type(value).__name__}{many}>"


def _told(record: Any) -> list[tuple[str, Any]]:
    """The fields that a record tells of, by name."""
    if not is_dataclass(record):
        return []
    return [(one.name, getattr(record, one.name)) for one in fields(record) if one.repr]


def _frames(record: Any) -> dict[str, Any]:
    """The tables among a record's fields."""
    return {name: value for name, value in _told(record) if hasattr(value, "to_html") and hasattr(value, "columns")}


def _text_of(self: Any) -> str:
    told = ", ".join(f"{name}={short_text(value)}" for name, value in _told(self))
    return f"{type(self).__qualname__}({told})" if is_dataclass(self) else object.__repr__(self)
