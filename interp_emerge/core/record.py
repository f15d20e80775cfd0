"""What every record of the package can do: a short text form, and a form for notebooks in which no name is markup."""

from collections.abc import Sized
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

LONG = 160
"""Most characters of a value in a record's text form; more, or what does not print, is described instead."""
LONG_NAME = 60
"""Most characters of the name of a type."""


class Record:
    """A record whose text form is short whatever it holds, and which notebooks show as a table of its fields.

    A field that cannot be shown is shown as `<TypeName: its repr failed: ExceptionType>`.

    A class that writes its own text form keeps it.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__repr__ in (object.__repr__, _text_of):
            cls.__repr__ = _text_of  # in the class itself, so that the decorator of dataclasses keeps it

    def _repr_html_(self) -> str:
        from interp_emerge.core.showing import html_of

        if hasattr(self, "to_frame"):
            return html_of(repr(self), self.to_frame())  # pyright: ignore[reportAttributeAccessIssue]
        said, shown = [], []
        for name, value in _told(self):
            if (table := _as_table(name, value)) is not None:
                shown.append(table)
            else:
                said.append(f"<tr><th>{escape(name)}</th><td>{escape(short_text(value))}</td></tr>")
        rows = f"<table>{''.join(said)}</table>" if said else ""
        return f"<p>{escape(type(self).__name__ if said or shown else repr(self))}</p>{rows}{''.join(shown)}"


def short_text(value: Any) -> str:
    """A value as text of one line; what is long is described by its kind and size."""
    try:
        return _described(value)
    except Exception as error:  # noqa: BLE001 (a value's own code runs here and may raise anything)
        return f"<{_name_of(value)}: its repr failed: {_name_of(error)}>"


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None and not isinstance(value, int | float):
        return f"<{_name_of(value)} of shape {[*shape]}>"
    text = repr(value)
    if len(text) <= LONG and text.isprintable():
        return text
    if isinstance(value, str):
        return f"{text[: LONG - 1]}…"
    many = f" of {len(value):,}" if isinstance(value, Sized) else ""
    return f"<{_name_of(value)}{many}>"


def _name_of(value: Any) -> str:
    """The name of a value's type, short and without characters that do not print."""
    name = repr(type(value).__name__)[1:-1]
    return name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…"


def _told(record: Any) -> list[tuple[str, Any]]:
    """The fields that a record tells of, by name."""
    if not is_dataclass(record):
        return []
    return [(one.name, getattr(record, one.name)) for one in fields(record) if one.repr]


def _as_table(name: str, value: Any) -> str | None:
    """A table among a record's fields as HTML; None if the value is not a table, or cannot be shown as one."""
    from interp_emerge.core.showing import html_of

    try:
        return html_of(name, value) if hasattr(value, "to_html") and hasattr(value, "columns") else None
    except Exception:  # noqa: BLE001 (as above; `short_text` then says what the value is)
        return None


def _text_of(self: Any) -> str:
    told = ", ".join(f"{name}={short_text(value)}" for name, value in _told(self))
    return f"{type(self).__qualname__}({told})" if is_dataclass(self) else object.__repr__(self)
