"""Inline SVG figures: a histogram and a stacked bar. Their colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 18, 26
FLOOR = HEIGHT - BOTTOM
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Segment:
    """Segment of a stacked bar: its style class, its label and its count."""

    name: str
    label: str
    count: int


def histogram(
    values: NDArray[np.float64],
    edges: Sequence[float],
    *,
    label: str,
    unit: str = "",
    ticks: Sequence[float] = (),
    decimals: int = 0,
) -> Markup:
    """Draws a histogram as one `<svg>` with a bar for each bin and the values of `ticks` under it.

    Bins are drawn equally wide whatever their edges, so logarithmic edges give a logarithmic axis. Values outside the
    edges count in the first or last bin; what is not finite is left out.

    Args:
        values: the numbers, any count.
        edges: N + 1 ascending bin edges.
        label: what is counted, for the figure's name.
        unit: written after each edge.
        ticks: those edges that get a label.
        decimals: of the median.
    """
    finite = values[np.isfinite(values)]
    bounds = np.asarray(edges, dtype=np.float64)
    elements = _bars(finite, bounds, unit)
    elements.append(f'<line class="axis" x1="{LEFT}" y1="{FLOOR}" x2="{WIDTH - RIGHT}" y2="{FLOOR}"/>')
    for tick in ticks:
        x = _position(tick, bounds)
        elements.append(f'<line class="axis" x1="{x:.1f}" y1="{FLOOR}" x2="{x:.1f}" y2="{FLOOR + 4}"/>')
        anchor = "start" if x < LEFT + 12 else "end" if x > WIDTH - RIGHT - 12 else "middle"
        elements.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">'
            f"{_number(tick)}{escape(unit)}</text>"
        )
    median = ""
    if finite.size:
        value = float(np.median(finite))
        shown = f"{value:.{decimals}f}".replace("-", MINUS)
        x = _position(value, bounds)
        anchor = "start" if x < WIDTH / 2 else "end"
        shift = 5 if anchor == "start" else -5
        elements.append(f'<line class="median" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{FLOOR}"/>')
        elements.append(
            f'<text class="note" x="{x + shift:.1f}" y="12" text-anchor="{anchor}">'
            f"median {shown}{escape(unit)}</text>"
        )
        median = f", median {shown}{unit}"
    name = f"{label}: {finite.size:,} faces{median}"
    return Markup(
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f"{''.join(elements)}</svg>"
    )


def stacked_bar(segments: Sequence[Segment], *, label: str) -> Markup:
    """Draws one horizontal bar of `segments`, each wide enough to be seen: one failure in a million shows."""
    present = [segment for segment in segments if segment.count > 0]
    total = sum(segment.count for segment in present)
    least = 0.6
    shares = [max(100 * segment.count / total, least) for segment in present]
    scale = 100 / sum(shares) if shares else 1.0
    elements: list[str] = []
    x = 0.0
    for segment, share in zip(present, shares, strict=True):
        width = share * scale
        elements.append(
            f'<rect class="segment {escape(segment.name)}" x="{x:.3f}" y="0" width="{width:.3f}" height="4">'
            f"<title>{escape(segment.label)}: {segment.count:,}</title></rect>"
        )
        x += width
    name = label + ": " + ", ".join(f"{segment.count:,} {segment.label}" for segment in present)
    return Markup(
        f'<svg class="stacked" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{escape(name)}">'
        f"{''.join(elements)}</svg>"
    )


def _bars(values: NDArray[np.float64], bounds: NDArray[np.float64], unit: str) -> list[str]:
    """Draws a `<rect>` for each bin that is not empty; `values` are finite, `bounds` the N + 1 edges of the bins."""
    counts, _ = np.histogram(np.clip(values, bounds[0], np.nextafter(bounds[-1], -np.inf)), bounds)
    peak = max(int(counts.max(initial=0)), 1)
    step = (WIDTH - LEFT - RIGHT) / len(counts)
    bars: list[str] = []
    for index, count in enumerate(counts):
        if not count:
            continue
        height = (FLOOR - TOP) * count / peak
        between = f"{_number(bounds[index])} to {_number(bounds[index + 1])}{unit}"
        bars.append(
            f'<rect class="bar" x="{LEFT + index * step + 1:.1f}" y="{FLOOR - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}" rx="1.5"><title>{escape(between)}: {count:,}</title></rect>'
        )
    return bars


def _position(value: float, bounds: NDArray[np.float64]) -> float:
    """Returns the x of a value, on an axis on which the bins are equally wide."""
    step = (WIDTH - LEFT - RIGHT) / (len(bounds) - 1)
    return LEFT + step * float(np.interp(value, bounds, np.arange(len(bounds))))


def _number(value: float) -> str:
    """Formats a number: whole from 100 on, else with up to two decimals."""
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}".replace("-", MINUS)
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", MINUS)
