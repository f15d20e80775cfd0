"""A browser for the pages of notebooks."""

from tests.figures.conftest import browser

__all__ = ["browser"]
