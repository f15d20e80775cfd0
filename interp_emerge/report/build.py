"""Builds the report of a study's directory: one page that opens from disk and loads nothing from the network."""

from pathlib import Path

from interp_emerge.core.files import write_atomically
from interp_emerge.report.page import render
from interp_emerge.report.reading import read_study

REPORT = "report.html"


def build_report(directory: Path) -> Path:
    """Write `report.html` into a study's directory, the same bytes for the same files; returns its path.

    Raises:
        InputError: the directory holds no study, or a file is not as a study writes it.
    """
    study = read_study(directory)
    write_atomically(directory / REPORT, render(study).encode())
    return directory / REPORT
