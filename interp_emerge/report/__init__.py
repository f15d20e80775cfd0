"""The report: one self-contained web page made from a study's tables; and an index over several studies."""

from interp_emerge.report.build import build_report
from interp_emerge.report.index import build_index, studies_in

__all__ = ["build_index", "build_report", "studies_in"]
