"""An attention view as a live widget: what is shown, chosen and locked is read and set in Python."""

from typing import Any

import anywidget
import traitlets as t

from interp_emerge.figures._widget import module_of, with_picture
from interp_emerge.figures._widget_errors import StateError, UnknownStateError
from interp_emerge.figures.attention.page import main_of, parts_of, start_of, style_and_scripts
from interp_emerge.figures.attention.still import png_of
from interp_emerge.figures.attention.view import AttentionView


class AttentionWidget(anywidget.AnyWidget):
    """A live attention view.

    Its state: `frame` (the number of the model that is shown, from 0), `head` (the name of the chosen head; a model
    that lacks it shows its first one) and `token` (the position of the locked token, or None).
    """

    _esm = module_of(*style_and_scripts(), "attention/widget.js")
    parts = t.Dict().tag(sync=True)
    frame = t.Int().tag(sync=True)
    head = t.Unicode().tag(sync=True)
    token = t.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, view: AttentionView) -> None:
        self._view = view
        start = start_of(view)
        parts = {name: str(text) for name, text in parts_of(view).items()}
        super().__init__(parts={"main": main_of(view), **parts}, frame=start, head=view.frames[start].heads[0])

    @t.validate("head")
    def _known_head(self, proposal: Any) -> str:
        if proposal["value"] not in self._view.heads:
            raise UnknownStateError("head of this view", proposal["value"], self._view.heads)
        return proposal["value"]

    @t.validate("frame")
    def _known_frame(self, proposal: Any) -> int:
        return _within(proposal["value"], len(self._view.frames), "frame", "a model")

    @t.validate("token")
    def _known_token(self, proposal: Any) -> int | None:
        longest = max(len(frame.tokens) for frame in self._view.frames)
        return None if proposal["value"] is None else _within(proposal["value"], longest, "token", "a position")

    def __repr__(self) -> str:
        return f"AttentionWidget(frame={self.frame}, head={self.head!r}, token={self.token}, of {self._view!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_picture(super()._repr_mimebundle_(**kwargs), lambda: png_of(self._view), repr(self))


def _within(value: int, end: int, name: str, what: str) -> int:
    if isinstance(value, bool) or not 0 <= value < end:
        raise StateError(f"{name} cannot be {value}; give the number of {what}, from 0 to {end - 1}")
    return value
