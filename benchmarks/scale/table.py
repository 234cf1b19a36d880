"""The figures as Markdown, and their place in a document."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scale.measure import Measured, Sample
from benchmarks.scale.processes import Aftermath

STARTED_MB = 100
"""A driver that has less has only just been started: a sample says nothing yet."""
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def markdown(runs: list[Measured], where: str) -> str:
    """Two tables: what each run cost, and the driver's memory along the way. `where` says on what machine and when."""
    lines = [
        where,
        "",
        "| images | wall time | images/s | ms per image | peak driver RSS | peak total PSS | objects per 1,000 images "
        "| killed at | Ray gone after | first commit after the restart | lost | duplicated | verify |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for run in runs:
        lines.append(
            f"| {run.images:,} | {run.seconds:,.0f} s | {run.images / run.seconds:,.0f} "
            f"| {1000 * run.seconds / run.images:.2f} | {max(one.driver_mb for one in run.samples):,.0f} MB "
            f"| {max(one.total_mb for one in run.samples):,.0f} MB | {1000 * run.objects / run.images:.2f} "
            f"| {_or_dash(run.killed_at, ',')} | {_aftermath(run.gone)} "
            f"| {_or_dash(run.resume, '.1f', ' s')} "
            f"| {run.lost:,} | {run.duplicated:,} | {run.verified} ({run.verify_seconds:,.0f} s) |"
        )
    lines += [
        "",
        "Resident memory of the driver in MB, when so much of the corpus was committed:",
        "",
        "| images | " + " | ".join(f"{100 * share:.0f} %" for share in SHARES) + " |",
        "|---:|" + "---:|" * len(SHARES),
    ]
    for run in runs:
        values = (driver_at(run.samples, share * run.images) for share in SHARES)
        lines.append(f"| {run.images:,} | " + " | ".join(f"{value:,.0f}" for value in values) + " |")
    return "\n".join(lines)


def driver_at(samples: tuple[Sample, ...], images: float) -> float:
    """The driver's memory in the last sample with at most so many images committed, but of one that has started."""
    return [one.driver_mb for one in samples if one.images <= images and one.driver_mb > STARTED_MB][-1]


def insert(document: Path, mark: str, text: str) -> None:
    """Puts `text` between the document's lines `<!-- MARK:begin -->` and `<!-- MARK:end -->`.

    Raises:
        ValueError: it has no such lines.
    """
    before, begin, rest = document.read_text("utf-8").partition(f"<!-- {mark}:begin -->\n")
    _, end, after = rest.partition(f"<!-- {mark}:end -->")
    if not begin or not end:
        raise ValueError(
            f"{document} has no place for the table: <!-- {mark}:begin --> and <!-- {mark}:end -->"
        )
    document.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", "utf-8")


def _aftermath(gone: Aftermath | None) -> str:
    if gone is None:
        return "–"
    return f"{gone.seconds:.1f} s" + (f", when {' and '.join(gone.killed)} were ended" if gone.killed else "")


def _or_dash(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"
