"""Sections of the report, one file each: the tables that it reads, its figures and its sentences."""

from typing import TYPE_CHECKING

from interp_emerge.core.registry import Shelf

if TYPE_CHECKING:
    from interp_emerge.report.sections.base import Section

shelf: "Shelf[Section]" = Shelf("section", __name__)
