"""The report: one self-contained web page made from a study's tables, circuits and attention patterns."""

from interp_emerge.report.build import build_report

__all__ = ["build_report"]
