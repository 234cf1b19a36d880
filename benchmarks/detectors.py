"""Face detectors side by side: recall, faces that are none, images turned by quarter turns, CPU time.

    python -m benchmarks.detectors FACES NO_FACES [--scrfd FILE ...] [--yunet FILE ...] [--rounds 3] [--part 1 1]

FACES is a folder with `faces.jsonl` (`path` and `landmarks68` of each face), NO_FACES one with `files.jsonl` (`path`,
`category` and `expected_faces`; those of the category `noface` with 0 count). dlib always takes part. Each image is
given to the detectors one after the other, round by round, so that whatever else runs on the machine slows all of them
down alike; what is compared is their ratio. Time is the process's own on one thread, after decoding.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.photo.decode import decode
from facegpt.photo.detectors import Detection, Detector, create_detector

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Photo:
    """An image, the middles (N, 2) of its labelled faces, and the set that it belongs to."""

    group: str
    pixels: Pixels
    middles: Points

    def turned(self, turns: int) -> Photo:
        """The same photo, turned to the left by quarter turns."""
        height, width = self.pixels.shape[:2]
        x, y = self.middles.T
        right, bottom = width - 1, height - 1
        middles = ((x, y), (y, right - x), (right - x, bottom - y), (bottom - y, x))[turns]
        return Photo(
            self.group, np.ascontiguousarray(np.rot90(self.pixels, turns)), np.stack(middles, axis=1)
        )


def read_faces(folder: Path) -> list[Photo]:
    """The photos that `faces.jsonl` lists, with all of their labelled faces."""
    middles: dict[str, list[Points]] = {}
    for row in _rows(folder / "faces.jsonl"):
        points = np.array(row["landmarks68"], np.float64)
        middles.setdefault(row["path"], []).append((points.min(0) + points.max(0)) / 2)
    return [
        Photo(path.split("/")[0], _pixels(folder / path), np.array(faces)) for path, faces in middles.items()
    ]


def read_others(folder: Path) -> list[Photo]:
    """The photos without a face that `files.jsonl` lists."""
    rows = [
        row
        for row in _rows(folder / "files.jsonl")
        if row["category"] == "noface" and row["expected_faces"] == 0
    ]
    return [Photo("noface", _pixels(folder / row["path"]), np.empty((0, 2))) for row in rows]


def _rows(listing: Path) -> Iterator[dict[str, Any]]:
    for line in listing.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _pixels(path: Path) -> Pixels:
    return decode(path.read_bytes(), DecodeConfig()).rgb


def held(faces: list[Detection], middles: Points) -> list[Detection | None]:
    """For each labelled face the surest box that holds its middle."""
    return [
        next((f for f in faces if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]), None)
        for x, y in middles.tolist()
    ]


def recall(detector: Detector, photos: list[Photo]) -> dict[str, tuple[int, int]]:
    """By set: faces found, faces labelled."""
    counts: dict[str, tuple[int, int]] = {}
    for photo in photos:
        faces = held(detector.detect(photo.pixels), photo.middles)
        found, there = counts.get(photo.group, (0, 0))
        counts[photo.group] = (found + sum(face is not None for face in faces), there + len(faces))
    return counts


def false_faces(detector: Detector, photos: list[Photo]) -> str:
    """Boxes in photos without a face, and how many of the photos have such boxes."""
    boxes = [len(detector.detect(photo.pixels)) for photo in photos]
    return f"{sum(boxes)} in {sum(map(bool, boxes))} of {len(boxes)}"


def turned_faces(detector: Detector, photos: list[Photo], turns: int) -> tuple[int, int, int]:
    """Faces found in photos turned to the left, those of them whose crop stands upright, and faces labelled."""
    found = upright = there = 0
    for photo in (photo.turned(turns) for photo in photos):
        for face in held(detector.detect(photo.pixels), photo.middles):
            there += 1
            found += face is not None
            upright += face is not None and (face.quarter_turns + turns) % 4 == 0
    return found, upright, there


def milliseconds(detectors: list[Detector], photos: list[Photo], rounds: int) -> list[list[float]]:
    """Mean milliseconds per photo of each detector, one figure per round, interleaved photo by photo."""
    figures: list[list[float]] = [[] for _ in detectors]
    for turn in range(rounds):
        sums = [0.0] * len(detectors)
        for photo in photos:
            for place in range(len(detectors)):
                index = (place + turn) % len(detectors)
                start = time.process_time()
                detectors[index].detect(photo.pixels)
                sums[index] += (time.process_time() - start) * 1e3
        for index, total in enumerate(sums):
            figures[index].append(total / len(photos))
    return figures


def timed(detectors: list[Detector], photos: list[Photo], rounds: int) -> list[str]:
    """Two cells per detector: the median over the rounds in ms per photo, and its ratio to the first with the range."""
    figures = milliseconds(detectors, photos, rounds)
    cells = []
    for own in figures:
        ratios = [mine / first for mine, first in zip(own, figures[0], strict=True)]
        cells.append(
            f"{statistics.median(own):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", nargs="?", type=Path)
    parser.add_argument("no_faces", nargs="?", type=Path)
    parser.add_argument("--scrfd", nargs="+", default=[], metavar="FILE", help="SCRFD ONNX files")
    parser.add_argument("--yunet", nargs="+", default=[], metavar="FILE", help="YuNet ONNX files")
    parser.add_argument("--rounds", type=int, default=3, help="of the timing (default: 3)")
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        default=[1, 1],
        metavar=("N", "M"),
        help="turn and time every Nth photo with faces, and time every Mth without (default: 1 1)",
    )
    tables = ("upright", "turned")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables, help="which (default: both)")
    options = parser.parse_args()
    if options.faces is None or options.no_faces is None:
        print("detectors are compared on labelled photos, which do not come with the package: see --help")
        return
    cv2.setNumThreads(1)
    configs = {"dlib": DetectorConfig()}
    for kind, files in (("insightface", options.scrfd), ("yunet", options.yunet)):
        configs |= {f"{kind} {Path(file).stem}": DetectorConfig(name=kind, model=file) for file in files}
    once = {name: create_detector(config) for name, config in configs.items()}
    again = {
        name: create_detector(config.model_copy(update={"rotations": not config.rotations}))
        for name, config in configs.items()
    }
    photos, others = read_faces(options.faces), read_others(options.no_faces)
    part, none = photos[:: options.part[0]], others[:: options.part[1]]
    print(f"{platform.machine()}, CPython {platform.python_version()}, OpenCV {cv2.__version__}")
    print(f"{len(photos)} photos with faces, of which turned and timed: {len(part)}")
    print(f"{len(others)} photos without faces, of which timed: {len(none)}")
    if "upright" in options.tables:
        _print_upright(once, photos, others, part=part, none=none, rounds=options.rounds)
    if "turned" in options.tables:
        _print_turned(once, again, others, part=part, none=none, rounds=options.rounds)


def _print_upright(
    detectors: dict[str, Detector],
    photos: list[Photo],
    others: list[Photo],
    part: list[Photo],
    none: list[Photo],
    rounds: int,
) -> None:
    groups = list(dict.fromkeys(photo.group for photo in photos))
    _print_head(["detector", *groups, "false faces", "ms, faces", "ratio", "ms, none", "ratio"])
    times = [timed(list(detectors.values()), sample, rounds) for sample in (part, none)]
    for index, (name, detector) in enumerate(detectors.items()):
        found = recall(detector, photos)
        cells = [f"{found[group][0]} of {found[group][1]}" for group in groups]
        _print_row([name, *cells, false_faces(detector, others), *(column[index] for column in times)])


def _print_turned(
    once: dict[str, Detector],
    again: dict[str, Detector],
    others: list[Photo],
    part: list[Photo],
    none: list[Photo],
    rounds: int,
) -> None:
    turns = ["turned left: found (upright crops)", "upside down", "turned right"]
    _print_head(["detector", "rotations", *turns, "false faces", "ms, none", "ratio"])
    for name in reversed(once):
        pair = sorted((once[name], again[name]), key=lambda detector: detector.config.rotations)
        for detector, time_cells in zip(pair, timed(pair, none, rounds), strict=True):
            found = [turned_faces(detector, part, turns) for turns in (1, 2, 3)]
            cells = [f"{some} of {there} ({upright})" for some, upright, there in found]
            switch = "on" if detector.config.rotations else "off"
            _print_row([name, switch, *cells, false_faces(detector, others), time_cells])


def _print_head(cells: Iterable[str]) -> None:
    cells = list(cells)
    print()
    _print_row(cells)
    print("|" + "---|" * len(cells))


def _print_row(cells: Iterable[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
