"""A plan in lines for people, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator

from facegpt.memory import GIB
from pipeline.planning.estimate import Estimate, step_seconds
from pipeline.planning.make import RunPlan
from pipeline.planning.measured import STEPS

MB = 10**6
GB = 10**9
HOUR = 3600.0
SEEN = 0.8
"""A plan says so where its workers computed in a smaller share of their time; on a quiet machine it is larger."""


def lines(plan: RunPlan, noted: str = "") -> Iterator[str]:
    """Yields the lines of a plan; `noted` says of when the machines' prices are."""
    measured, here = plan.measured, plan.here
    failed = f", {measured.failed} failed" if measured.failed else ""
    yield (
        f"tried     {measured.images:,} images, {measured.faces:,} faces{failed}, in {measured.seconds:.0f} s"
    )
    yield from _steps(plan)
    yield f"slowest   {here.bottleneck}"
    if measured.plan.is_joint and (computed := _computed_share(plan)) < SEEN:
        yield (
            f"note      the workers computed {100 * computed:.0f} % of the time, and waited for the rest of it"
        )
    yield f"workers   {_workers(plan)}"
    yield f"          micro-batches of {measured.micro_batch}; {here.shards:,} shards of {here.shard_images:,} images"
    if here.seconds is not None:
        yield (
            f"time      {duration(here.seconds)} for {here.images:,} images, {here.images_per_second:.3g} images/s; "
            f"{here.start_seconds:.0f} s of it to start"
        )
    yield f"memory    {_gib(here.memory_bytes)} at most{'' if here.fits else ': MORE THAN THERE IS'}"
    total, meshes = plan.output_bytes
    yield f"output    {size(total)}, {size(meshes)} of it meshes; {here.faces:,} faces"
    if plan.others:
        yield ""
        yield from _machines((here, *plan.others))
        if noted:
            yield f"prices: {noted}"


def _steps(plan: RunPlan) -> Iterator[str]:
    """Yields what a worker does in a second, by step, in shards of the run's size."""
    measured, here = plan.measured, plan.here
    each = step_seconds(measured, here)
    total = sum(each.values())
    faces = here.shard_images * measured.faces_per_image
    yield "per worker     images/s   faces/s   share   of it"
    for step in STEPS:
        parts = {
            name.partition(".")[2]: seconds
            for name, seconds in measured.parts.items()
            if name.startswith(f"{step}.")
        }
        whole = sum(parts.values())
        of_it = ", ".join(
            f"{name} {100 * seconds / whole:.0f} %"
            for name, seconds in sorted(parts.items(), key=lambda item: -item[1])
            if seconds >= 0.005 * whole
        )
        rate = here.shard_images / each[step] if each[step] else 0.0
        face_rate = f"{faces / each[step]:9.4g}" if faces and each[step] else f"{'-':>9}"
        yield f"  {step:10} {rate:10.4g} {face_rate} {100 * each[step] / total:5.0f} %   {of_it}"


def _computed_share(plan: RunPlan) -> float:
    """Computes in what share of their time the workers computed."""
    each = step_seconds(plan.measured, plan.here)
    steps = plan.measured.steps
    return sum(each[step] * steps[step].cpu_share for step in STEPS) / sum(each.values())


def _workers(plan: RunPlan) -> str:
    workers = plan.measured.plan
    engine = "on Ray" if plan.measured.engine == "ray" else "without Ray"
    kind = "" if not workers.is_joint else ", each for all steps"
    return f"{workers.line}{kind}, {engine}"


def _machines(estimates: tuple[Estimate, ...]) -> Iterator[str]:
    """Yields a table of machines, with a note for each of which something is not known."""
    yield f"{'machine':26}{'CPUs':>5}{'GPUs':>5}{'images/s':>9}{'hours':>9}{'cost':>13}{'memory':>9}"
    for one in estimates:
        machine = one.machine
        start = f"{machine.name:26}{machine.cpus:5g}{machine.gpus:5d}"
        if one.seconds is None:
            yield f"{start}  {one.note}"
            continue
        cost = f"{machine.currency} {one.cost:,.2f}" if one.cost is not None else "-"
        memory = _gib(one.memory_bytes)
        yield (
            f"{start}{one.images_per_second:9.3g}{hours(one.seconds):>9}{cost:>13}{memory:>9}"
            f"{'' if one.fits else ' !'}"
        )
    if any(not one.fits for one in estimates):
        yield "!: more memory than the machine has; set fewer workers (workers.annotate)"


def duration(seconds: float) -> str:
    """Formats seconds for people: `4 min 10 s`, `3.2 h`, `2.5 days`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds / HOUR:,.1f} h" if seconds < 48 * HOUR else f"{seconds / HOUR / 24:,.1f} days"


def hours(seconds: float) -> str:
    """Formats seconds as hours, with the digits that matter."""
    value = seconds / HOUR
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def size(count: float) -> str:
    """Formats bytes for people."""
    return f"{count / GB:,.1f} GB" if count >= GB else f"{count / MB:,.1f} MB"


def _gib(count: int | None) -> str:
    return "-" if count is None else f"{count / GIB:.1f} GiB"
