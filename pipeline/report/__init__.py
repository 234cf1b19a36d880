"""The report of a run, one page: counts, failures with reasons, distributions, faces with their reconstruction."""

from pipeline.report.write import write_report

__all__ = ["write_report"]
