"""How a result shows itself: as HTML in a notebook, and as one of the package's figures.

Figures are made of tables and stand above the results, so no result imports them. It names its figure, and `draw` looks
the name up when the figure is asked for.
"""

from abc import ABC, abstractmethod
from html import escape
from importlib import import_module
from typing import Any, ClassVar

import pandas as pd

from interp_emerge.core.errors import InputError

SHOWN = 8
"""Most rows of a result's table in a notebook."""
FIGURES = "interp_emerge.figures"


def draw(figure: str, table: pd.DataFrame, **options: Any) -> Any:
    """The figure of this name, an altair chart that shows and saves itself, drawn from a table.

    Raises:
        UnknownNameError: there is no such figure.
        InputError: the table or an option does not suit the figure.
    """
    return getattr(import_module(FIGURES), figure)(table, **options)


def of_one_model(table: pd.DataFrame, origin: dict[str, Any]) -> pd.DataFrame:
    """The table with the columns in which a study says of which model, ability and method its rows are."""
    model = origin.get("model") or {}
    known = {"size": str(model.get("size") or ""), "step": model.get("step") or 0, "seed": model.get("seed") or 0}
    known |= {name: str(origin.get(name) or "") for name in ("ability", "method", "metric")}
    return table.assign(**{name: value for name, value in known.items() if name not in table})


def html_of(first: str, table: pd.DataFrame, *, most: int = SHOWN) -> str:
    """A line and the first rows of a table as HTML, in which no name can become markup."""
    left = len(table) - most
    more = f"<p>{left:,} more</p>" if left > 0 else ""
    shown = table.head(most).to_html(index=False, border=0, float_format="{:.4g}".format, na_rep="undefined")
    return f"<p>{escape(first)}</p>{shown if len(table) else ''}{more}"


class Showing(ABC):
    """A result with a table: a notebook shows its first line and strongest rows, and `plot` draws its figure."""

    FIGURE: ClassVar[str] = ""
    """Name of its figure."""
    ADDED: ClassVar[tuple[str, ...]] = ()
    """Columns that only a study fills; they are undefined in the figure."""
    origin: dict[str, Any]

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """The table."""

    def plot(self, **options: Any) -> Any:
        """The result's figure: an altair chart that shows itself in notebooks; `.save("x.html")` writes it.

        Args:
            **options: those of the figure, such as `ie.figures.circuit_graph`.

        Raises:
            InputError: the scores are at several positions, which the figure does not tell apart; or an option does not
                suit the figure.
        """
        table = self.to_frame()
        if "position" in table:
            raise InputError("a plot shows one score for each node or edge, and these are scores at several positions; "
                             "score without positions, or draw to_frame() for one of them")  # fmt: skip
        table = table.assign(**dict.fromkeys(self.ADDED, float("nan")))
        return draw(self.FIGURE, of_one_model(table, self.origin), **options)

    def _repr_html_(self) -> str:
        table = self.to_frame()
        if "score" in table:
            table = table.sort_values("score", key=lambda score: -score.abs(), kind="stable")
        return html_of(repr(self), table)
