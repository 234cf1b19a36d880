"""The page to look at after a run: counts, failures with reasons, distributions, faces with their reconstruction."""

from pipeline.report.write import write_report

__all__ = ["write_report"]
