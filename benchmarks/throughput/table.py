"""The figures as Markdown, a block for each part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.throughput.first import IMPORTS
from benchmarks.throughput.measures import STEPS, against, compared, goals, steps_of
from benchmarks.throughput.memory import Memory
from benchmarks.throughput.results import Results
from benchmarks.throughput.runs import OURS, PEER, Table
from benchmarks.throughput.scale import SHARES
from benchmarks.throughput.spread import Spread, ratios, spread

MILLION = 1_000_000
PARTS = ("stages", "before", "runs", "first", "memory", "scale", "cost", "goals")


def blocks(results: Results, price: float) -> dict[str, str]:
    """Makes the block of each part that was measured, by the part's name; `price` is that of an hour of one core."""
    made = {"goals": goals_block(results)}
    if results.stages.get("steps"):
        made["stages"] = stages_block(results)
    if results.before:
        made["before"] = before_block(results)
    if results.runs:
        made["runs"] = "\n\n".join(runs_block(table) for _, table in sorted(results.runs.items()))
        made["cost"] = cost_block(results, price)
    if results.waits is not None:
        made["first"] = first_block(results)
    if results.memory:
        made["memory"] = "\n\n".join(memory_block(name, one) for name, one in results.memory.items())
    if results.scale is not None:
        made["scale"] = scale_block(results)
    return {
        part: f"{results.machine[part]}\n\n{made[part]}" if part in results.machine else made[part]
        for part in PARTS
        if part in made
    }


def stages_block(results: Results) -> str:
    """One row a step: items a second of one thread, ms per photo, and its share."""
    steps, items = steps_of(results.stages), results.stages["items"]
    totals = [sum(round_) for round_ in zip(*steps.values(), strict=True)]
    rows = [
        [
            words,
            kind,
            _rate([items[kind] / one for one in steps[name] if one > 0]),
            spread([1000 * one / items["photos"] for one in steps[name]]).form(2),
            f"{100 * ratios(steps[name], totals).median:.1f} %",
        ]
        for name, (words, kind) in STEPS.items()
    ]
    whole = [
        "all",
        "photos",
        _rate([items["photos"] / one for one in totals]),
        spread([1000 * one / items["photos"] for one in totals]).form(2),
        "100 %",
    ]
    lines = [table(["step", "items", "items/s", "ms per photo", "share"], [*rows, whole], "lrrrr")]
    for part, over, under, words in (
        (
            "stage",
            "bare",
            "stage",
            "The annotate stage does {} of the faces of the bare model on the same crops.",
        ),
        ("batch", "1", "32", "32 crops at a time are {} times as fast as one."),
        ("detector", "dlib", "default", "The default detector is {} times as fast as dlib."),
    ):
        ratio = compared(results, part, over, under)
        lines += ["", words.format(ratio.form())] if ratio is not None else []
    return "\n".join(lines)


def before_block(results: Results) -> str:
    """One row a step: ms per photo in the other checkout and in this one, and how many times as fast it has become."""
    before, after = steps_of(results.before), steps_of(results.stages)
    for steps in (before, after):
        steps["all"] = [sum(round_) for round_ in zip(*steps.values(), strict=True)]
    photos = results.stages["items"]["photos"]
    rows = [
        [
            name if name == "all" else STEPS[name][0],
            *(spread([1000 * one / photos for one in steps[name]]).form(2) for steps in (before, after)),
            _or_dash(before[name], after[name]),
        ]
        for name in after
    ]
    return table(["step", "ms per photo before", "now", "times as fast"], rows, "lrrr")


def runs_block(measured: Table) -> str:
    """One row a contender: photos a second, and how many times as many the run does."""
    rows = []
    for name, runs in measured.runs.items():
        rows.append(
            [
                name,
                spread([measured.photos / one.seconds for one in runs]).form(1),
                spread([measured.photos / one.work for one in runs]).form(1),
                spread([one.start for one in runs]).form(1),
                *(_times(against(measured, name, start=start)) for start in (False, True)),
            ]
        )
    faces = next(runs[0].faces for name, runs in measured.runs.items() if name != PEER)
    repeats = len(next(iter(measured.runs.values())))
    head = [
        "way",
        "photos/s",
        "without the start",
        "start, s",
        "run over it, without the starts",
        "starts included",
    ]
    title = f"{measured.photos:,} photos with {faces:,} faces, {measured.cpus:g} CPUs, {repeats} repeats:"
    return f"{title}\n\n{table(head, rows, 'lrrrrr')}"


def first_block(results: Results) -> str:
    """One row a wait, and what it is beside the imports."""
    assert results.waits is not None
    seconds = results.waits.seconds
    rows = [
        [name, spread(each).form(2), ratios(each, seconds[IMPORTS]).form()] for name, each in seconds.items()
    ]
    return table(["from the command on", "seconds", "over the imports"], rows, "lrr")


def memory_block(name: str, memory: Memory) -> str:
    """One row a role, at the moment of the highest sum."""
    rows = [
        [role, f"{count}", f"{total:,.0f}", f"{largest:,.0f}", f"{memory.highest[role]:,.0f}"]
        for role, (count, total, largest) in memory.roles.items()
    ]
    rows.append(
        ["all", f"{sum(count for count, _, _ in memory.roles.values())}", f"{memory.peak:,.0f}", "", ""]
    )
    head = ["processes", "number", "MB at the peak", "the largest of them", "the most that one ever had"]
    return f"{name}, {memory.photos:,} photos:\n\n{table(head, rows, 'lrrrr')}"


def scale_block(results: Results) -> str:
    """One row a size: ms per image, the start, and the driver's memory along the way."""
    assert results.scale is not None
    found = results.scale
    rows = [
        [
            f"{size:,}",
            spread(each).form(2),
            spread(found.start[size]).form(1),
            *(
                f"{spread([along[index] for along in found.driver_mb[size]]).median:,.0f}"
                for index in range(len(SHARES))
            ),
        ]
        for size, each in sorted(found.per_image.items())
    ]
    head = ["images", "ms per image", "start, s", *(f"driver MB at {100 * share:.0f} %" for share in SHARES)]
    return table(head, rows, "r" * len(head))


def cost_block(results: Results, price: float) -> str:
    """One row: what a million photos take, by the rate of the largest corpus, without the start."""
    measured = results.runs[max(results.runs)]
    if OURS not in measured.runs:
        return "Not measured."
    rate = spread([measured.photos / one.work for one in measured.runs[OURS]]).median
    hours = MILLION / rate / 3600
    core_hours = hours * measured.cpus
    rows = [
        ["photos/s, from the table above", f"{rate:.1f}"],
        ["cores", f"{measured.cpus:g}"],
        ["hours", f"{hours:,.1f}"],
        ["core hours", f"{core_hours:,.1f}"],
        ["price of a core hour, an assumption", f"{price:.3f}"],
        ["cost", f"{core_hours * price:,.2f}"],
    ]
    return table(["a million photos", ""], rows, "lr")


def goals_block(results: Results) -> str:
    """One row a goal: the ratio, what it must be, and whether it is."""
    words = {None: "not measured", True: "yes", False: "NO"}
    rows = [
        [goal.words, "" if goal.ratio is None else goal.ratio.form(), f"{goal.least:.2f}", words[goal.is_met]]
        for goal in goals(results)
    ]
    return table(["goal (more is better)", "measured", "at least", "met"], rows, "lrrl")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Writes a table; `align` has an l or r for each column."""
    rule = "|" + "|".join("---:" if side == "r" else "---" for side in align) + "|"
    return "\n".join([_row(head), rule, *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rate(rates: Sequence[float]) -> str:
    return spread(rates).form(1) if rates else "–"


def _or_dash(over: Sequence[float], under: Sequence[float]) -> str:
    return ratios(over, under).form() if min(under) > 0 else "–"


def _times(ratio: Spread | None) -> str:
    return "–" if ratio is None else ratio.form()
