"""How far a run is from its plan: its time, and the step that differs most."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.upkeep.status import RunStatus

NOTICED = 1.1
"""A step that takes so many times its plan, or the reverse, is named."""


def compare(plan: dict[str, Any], record: dict[str, Any], status: RunStatus) -> str:
    """Tells in a line how a run went compared with its plan, as far as it is.

    Args:
        plan: as `read_plan` gives it.
        record: run.json.
        status: of the same output; its commits say how far a run is that has not ended.
    """
    planned = (
        f"{plan['images']:,} images in {_span(plan['seconds'])}, {_rate(plan['images'], plan['seconds'])}"
    )
    # What `retry` did again was planned once.
    ended = [
        one
        for one in record["invocations"]
        if one.get("images") and "costs" in one and not str(one.get("input", "")).startswith("retry:")
    ]
    images, seconds = _ended(ended) if ended else _so_far(record, status)
    if not images or seconds <= 0:
        return f"{planned}; nothing to compare yet"
    start = plan["start_seconds"]
    expected = start + (plan["seconds"] - start) * images / plan["images"]
    so_far = "" if ended else " so far"
    line = (
        f"{planned}; took {_span(seconds)} for {images:,}{so_far}, {_rate(images, seconds)}: "
        f"{seconds / expected:.2f} times the plan"
    )
    return f"{line}{_step_that_differs(plan, ended, images)}"


def _ended(invocations: list[dict[str, Any]]) -> tuple[int, float]:
    """Sums the images and seconds of calls of annotate that have ended."""
    seconds = sum(_between(one["started"], one["finished"]) for one in invocations)
    return sum(one["images"] for one in invocations), max(seconds, sum(one["seconds"] for one in invocations))


def _so_far(record: dict[str, Any], status: RunStatus) -> tuple[int, float]:
    """Counts the images of a run that is going on, or was killed, and the seconds until its last commit."""
    if status.last_commit is None:
        return 0, 0.0
    return status.images_done, _between(record["created"], status.last_commit)


def _step_that_differs(plan: dict[str, Any], ended: list[dict[str, Any]], images: int) -> str:
    """Names the step whose seconds for an image are furthest from the plan; nothing where all are near."""
    planned = plan["seconds_per_image"]
    actual = {step: sum(one["costs"]["seconds"].get(step, 0.0) for one in ended) / images for step in planned}
    furthest = max(planned, key=lambda step: abs(actual[step] - planned[step]), default=None)
    if not ended or furthest is None or not planned[furthest]:
        return ""
    ratio = actual[furthest] / planned[furthest]
    return f"; {furthest} {ratio:.2f} times" if not 1 / NOTICED < ratio < NOTICED else ""


def _between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _rate(images: int, seconds: float) -> str:
    return f"{images / max(seconds, 1e-9):.3g} images/s"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:,.2f} h"
