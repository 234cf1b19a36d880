"""Draws docs/images/performance.svg, milliseconds per photo by step.

    python docs/draw_performance.py WORK/results.json

The file is that of `python -m benchmarks.throughput --parts stages --before CHECKOUT`.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.throughput.measures import STEPS, steps_of
from benchmarks.throughput.results import Results

GROUPS = {
    "detect": ("detect",),
    "model: prefill": ("prefill",),
    "model: words": ("words",),
    "model: drawing, scores": ("scores",),
    "decode, crop": ("decode", "crop"),
    "meshes": ("heads", "GLB"),
    "rest": ("list", "fetch", "hand over", "tables", "commit"),
}
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#a463f2", "#9c6b4e", "#97bbf5")
WIDTH, LEFT, BAR, GAP, TOP = 860, 90, 44, 26, 20
KEY_COLUMN, KEY_ROW, KEYS_PER_ROW = 190, 24, 4


def milliseconds(stages: dict[str, object]) -> dict[str, float]:
    """Adds up the medians of the steps of each group, in ms per photo."""
    assert {name for names in GROUPS.values() for name in names} == STEPS.keys()
    steps, photos = steps_of(stages), stages["items"]["photos"]  # type: ignore[index]
    medians = {name: 1000 * statistics.median(each) / photos for name, each in steps.items()}
    return {group: sum(medians[name] for name in names) for group, names in GROUPS.items()}


def bar(label: str, groups: dict[str, float], y: int, scale: float) -> list[str]:
    """Draws one bar: its label, a box for each group, and the sum behind it."""
    parts = [f'<text x="{LEFT - 10}" y="{y + BAR / 2 + 5}" text-anchor="end">{escape(label)}</text>']
    x = float(LEFT)
    for colour, (name, value) in zip(COLOURS, groups.items(), strict=True):
        title = f"<title>{escape(name)}: {value:.1f} ms</title>"
        box = f'x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"'
        parts.append(f"<rect {box}>{title}</rect>")
        if value * scale > 44:
            middle = x + value * scale / 2
            parts.append(
                f'<text x="{middle:.1f}" y="{y + BAR / 2 + 5}" text-anchor="middle" fill="#fff">{value:.0f}</text>'
            )
        x += value * scale
    return [*parts, f'<text x="{x + 8:.1f}" y="{y + BAR / 2 + 5}">{sum(groups.values()):.0f} ms</text>']


def picture(bars: dict[str, dict[str, float]]) -> str:
    """Draws the bars below each other, to one scale, and the key of their colours."""
    scale = (WIDTH - LEFT - 80) / max(sum(groups.values()) for groups in bars.values())
    lines, y = [], TOP
    for label, groups in bars.items():
        lines += bar(label, groups, y, scale)
        y += BAR + GAP
    for index, (name, colour) in enumerate(zip(GROUPS, COLOURS, strict=True)):
        x = LEFT + index % KEYS_PER_ROW * KEY_COLUMN
        row = y + index // KEYS_PER_ROW * KEY_ROW
        lines.append(f'<rect x="{x}" y="{row}" width="14" height="14" fill="{colour}"/>')
        lines.append(f'<text x="{x + 20}" y="{row + 12}">{escape(name)}</text>')
    height = y + (len(GROUPS) - 1) // KEYS_PER_ROW * KEY_ROW + 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14" fill="#222">'
    )
    white = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join([head, white, *lines, "</svg>", ""])


def main(file: str) -> None:
    found = Results.load(Path(file))
    stages = {"before": found.before, "now": found.stages}
    bars = {label: milliseconds(one) for label, one in stages.items() if one.get("steps")}
    place = Path(__file__).parent / "images" / "performance.svg"
    place.write_text(picture(bars), "utf-8")
    print(f"{place}: {', '.join(f'{label} {sum(groups.values()):.0f} ms' for label, groups in bars.items())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
