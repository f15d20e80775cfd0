"""An attention view: what heads attend to in one or several models. It shows itself in notebooks and saves itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from interp_emerge.core.attention import UNITS, AttentionWeights, Mode
from interp_emerge.core.errors import InputError, UnknownNameError, counted, described
from interp_emerge.core.files import write_atomically
from interp_emerge.figures._cell import bundle_of
from interp_emerge.figures.attention.coding import estimated_bytes
from interp_emerge.figures.attention.page import page_of, require_small
from interp_emerge.figures.attention.still import pdf_of, png_of, svg_of
from interp_emerge.figures.attention.table import rows_of

Renderer = Literal["own", "circuitsvis"]
HEIGHT = 984
"""Height of a view in a notebook's cell, pixels: that of one head with its pattern and both of its tables."""
LINES = 8
"""Most heads whose strongest destination stands in the text form of a view."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionView:
    """What heads attend to, in one or several models.

    In a notebook it shows itself: as a page to explore where scripts run, as a picture where they do not, and as text.

    Args:
        frames: what was read of each model, one `AttentionWeights` each.
        roles: scores beside each head, as `{head: {role: score}}`, or a table with the columns `node` (or `head`),
            `role` and `score`, such as `ie.role_table(model)`.
        beside: which frame is shown beside the first one; None shows one at a time.
        renderer: `own`, or `circuitsvis` for one model with at most 64 heads and 64 tokens.

    Raises:
        UnknownNameError: no renderer has the name.
        InputError: no frame, frames of different modes, roles of another form, or a view that CircuitsVis cannot draw.
    """

    frames: Sequence[AttentionWeights]
    roles: Any = field(default_factory=dict)
    beside: int | None = None
    renderer: str = "own"

    def __post_init__(self) -> None:
        frames = tuple(self.frames)
        if not frames or not all(isinstance(frame, AttentionWeights) for frame in frames):
            raise InputError("frames has to be a list of at least one AttentionWeights")
        if len(modes := sorted({frame.mode for frame in frames})) > 1:
            raise InputError(f"frames of one view need one mode, and these have {' and '.join(modes)}")
        if self.beside is not None and self.beside not in range(len(frames)):
            raise InputError(f"beside cannot be {described(self.beside)}; give the number of a frame, from 0 to "
                             f"{len(frames) - 1}, or None")  # fmt: skip
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "roles", _by_head(self.roles))
        if self.renderer not in get_args(Renderer):
            raise UnknownNameError("renderer", self.renderer, get_args(Renderer))
        if self.renderer == "circuitsvis":
            require_small(self)

    @property
    def mode(self) -> Mode:
        return self.frames[0].mode

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads of all frames."""
        return tuple(dict.fromkeys(head for frame in self.frames for head in frame.heads))

    @property
    def title(self) -> str:
        """What is shown, of which models."""
        what = {
            "pattern": "Attention",
            "value_weighted": "Value-weighted attention",
            "difference": "Attention, clean − corrupted,",
        }
        first, last = self.frames[0].label, self.frames[-1].label
        of = first if first == last else f"{counted(len(self.frames), 'model')}, {first} to {last}"
        return f"{what[self.mode]} of {of}"

    @property
    def note(self) -> str:
        """The unit, and over how many pairs it is averaged."""
        n = self.frames[0].n_pairs
        mean = f" Mean over {n:,} pairs." if n > 1 else ""
        return f"Rows attend, columns are attended to. Number: {UNITS[self.mode]}.{mean} NaN: undefined."

    def estimated_bytes(self) -> int:
        """About how many bytes the page takes at most."""
        interval = self.frames[0].low is not None
        n_heads, n_tokens = (max(len(getattr(one, what)) for one in self.frames) for what in ("heads", "tokens"))
        return estimated_bytes(n_heads, n_tokens, n_models=len(self.frames), interval=interval)

    def to_frame(self, heads: Iterable[str] | None = None) -> pd.DataFrame:
        """The weights, one row for each model, head, query and key, with the columns of `ie.figures.ATTENTION`.

        Keys after the query, which no head sees, are left out.

        Raises:
            UnknownNameError: the view has no such head.
            InputError: the table would have more than 20 million rows.
        """
        return rows_of(self.frames, heads)

    def save(self, path: str | Path) -> Path:
        """Write the view as a self-contained `.html` page, or as a `.png`, `.svg` or `.pdf` picture.

        Raises:
            InputError: the path has another ending.
        """
        path = Path(path)
        require_format(path)
        write_atomically(path, _FORMATS[path.suffix](self))
        return path

    def to_html(self) -> str:
        """The page."""
        return page_of(self)

    def widget(self) -> Any:
        """The view as a live widget, whose `frame`, `head` and `token` Python reads and sets.

        In a notebook with a running kernel, `widget.observe(print, "head")` is told of every head that is chosen, and
        `widget.head = "a1.h0"` chooses one.

        Example:
            >>> widget = ie.attention(model, "When Mary met John").widget()
            >>> widget.observe(lambda change: print(change["new"]), "head")
            >>> widget.head, widget.token = "a1.h1", 3

        Raises:
            InputError: anywidget is not installed, or CircuitsVis draws the view.
        """
        from interp_emerge.figures._widget import require_anywidget

        require_anywidget()
        if self.renderer != "own":
            raise InputError("a view that CircuitsVis draws has no live widget; use the default renderer")
        from interp_emerge.figures.attention.widget import AttentionWidget

        return AttentionWidget(self)

    def __repr__(self) -> str:
        n_heads, n_tokens = len(self.heads), max(len(frame.tokens) for frame in self.frames)
        n = f", mean of {self.frames[0].n_pairs} pairs" if self.frames[0].n_pairs > 1 else ""
        of = self.frames[0].label if len(self.frames) == 1 else counted(len(self.frames), "model")
        return f"AttentionView({self.mode} of {counted(n_heads, 'head')} × {counted(n_tokens, 'token')}{n}, {of})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook keeps: the page in a frame of its own, a picture, and text."""
        about = {"title": self.title, "page": self.to_html(), "text": self._as_text(), "height": HEIGHT}
        return bundle_of(picture=png_of(self), **about)

    def _as_text(self) -> str:
        """The text form: what it is, and where the last token's strongest attention goes."""
        frame, lines = self.frames[0], [repr(self)]
        last = frame.n_queries - 1
        for head, row in [*zip(frame.heads, frame.weights[:, last], strict=True)][:LINES]:
            if np.isnan(row).all():
                lines.append(f"{head}: {frame.tokens[last]!r} -> undefined")
                continue
            best = int(np.nanargmax(np.abs(row)))
            lines.append(f"{head}: {frame.tokens[last]!r} -> {frame.tokens[best]!r} ({best}) {row[best]:.3f}")
        more = len(frame.heads) - LINES
        return "\n".join([*lines, f"… and {counted(more, 'more head')}"] if more > 0 else lines)


_FORMATS: dict[str, Callable[[AttentionView], bytes]] = {
    ".html": lambda view: view.to_html().encode(),
    ".png": png_of,
    ".svg": lambda view: svg_of(view).encode(),
    ".pdf": pdf_of,
}


def require_format(path: Path) -> None:
    """Raise an `InputError` unless a view can be saved under this name."""
    if path.suffix not in _FORMATS:
        raise InputError(f"cannot save attention as {path.name!r}: end it in {', '.join(_FORMATS)}")


def _by_head(roles: Any) -> dict[str, dict[str, float]]:
    """Scores of each head by role."""
    if roles is None:
        return {}
    if isinstance(roles, pd.DataFrame):
        head = next((name for name in ("node", "head") if name in roles), None)
        if head is None or not {"role", "score"} <= {*roles.columns}:
            raise InputError(
                "roles is a table without the columns node (or head), role and score; give ie.role_table(...)"
            )
        found: dict[str, dict[str, float]] = {}
        for name, role, score in roles[[head, "role", "score"]].itertuples(index=False):
            found.setdefault(str(name), {})[str(role)] = float(score)
        return found
    if not isinstance(roles, Mapping) or not all(isinstance(one, Mapping) for one in roles.values()):
        raise InputError(f"roles cannot be {described(roles)}; give ie.role_table(...) or {{head: {{role: score}}}}")
    return {str(head): {str(role): float(score) for role, score in one.items()} for head, one in roles.items()}
