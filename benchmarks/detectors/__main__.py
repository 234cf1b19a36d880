"""Face detectors side by side: recall, false faces, small faces, thresholds, turned photos, large JPEGs, CPU time.

    python -m benchmarks.detectors DATA [--scrfd FILE ...] [--yunet FILE ...] [--rounds 3] [--part 8 16] [--tables ...]

DATA is a folder with four folders: `faces_dev` with `faces.jsonl` (`path` and `landmarks68` of each face), `photos_dev`
of tight crops of a face each, `images_odd` with `files.jsonl` (`path`, `category` and `expected_faces`; those of the
category `noface` with 0 count) and `lights` with backgrounds without people. libfacedetection and dlib always take
part.

Each image is given to the detectors one after the other, round by round, so that whatever else runs on the machine
slows all of them down alike; what is compared is their ratio. Time is the process's own on one thread.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.detectors.measures import false_faces, found_in, recall, timed, turned_faces
from benchmarks.detectors.photos import Photo, large_jpeg, read_crops, read_faces, read_others, scenes
from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.photo.decode import decode
from facegpt.photo.detectors import create_detector
from facegpt.photo.finder import FaceCrop, FaceFinder

BUILT_IN = ("libfacedetection", "dlib")
FACE_PX = (12, 16, 24, 32, 48, 64)
SCORES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
CROP = 224
SHARES = (1.0, 0.5, 0.25, 0.1)


@dataclass(frozen=True)
class Comparison:
    """The detectors by name and what they are compared on; `part` (with faces) and `none` (without) are timed."""

    configs: dict[str, DetectorConfig]
    photos: list[Photo]
    crops: list[Photo]
    others: list[Photo]
    part: list[Photo]
    none: list[Photo]
    rounds: int

    def upright(self) -> None:
        """Prints recall, false faces and time of all detectors."""
        detectors = {name: create_detector(config) for name, config in self.configs.items()}
        groups = list(dict.fromkeys(photo.group for photo in self.photos))
        _head("detector", *groups, "tight crops", "false faces", "ms, faces", "ratio", "ms, none", "ratio")
        calls = [lambda photo, d=detector: d.detect(photo.pixels) for detector in detectors.values()]
        times = [timed(calls, sample, self.rounds) for sample in (self.part, self.none)]
        for index, (name, detector) in enumerate(detectors.items()):
            found = recall(detector, self.photos)
            cells = [f"{found[group][0]} of {found[group][1]}" for group in groups]
            alone = [found_in(detector, self.crops), false_faces(detector, self.others)]
            _row(name, *cells, *alone, *(column[index] for column in times))

    def small(self) -> None:
        """Prints how many faces are found in larger photos, by the size of the face's points in px."""
        detectors = {name: create_detector(config) for name, config in self.configs.items()}
        many = {size: scenes(self.photos[::5], self.others, size) for size in FACE_PX}
        _head("detector", *(f"{size} px" for size in FACE_PX), "ms, 12 px", "ratio", "ms, 64 px", "ratio")
        calls = [lambda photo, d=detector: d.detect(photo.pixels) for detector in detectors.values()]
        times = [timed(calls, many[size][:10], self.rounds) for size in (FACE_PX[0], FACE_PX[-1])]
        for index, (name, detector) in enumerate(detectors.items()):
            found = [recall(detector, photos)["scene"] for photos in many.values()]
            _row(name, *(f"{some} of {there}" for some, there in found), *(column[index] for column in times))

    def scores(self) -> None:
        """Prints what libfacedetection's threshold and its padded pass decide."""
        _head(
            "score",
            "labelled faces",
            "tight crops",
            "false faces",
            "without the padded pass: faces",
            "crops",
            "false",
        )
        for score in SCORES:
            cells = []
            for padded in (True, False):
                config = DetectorConfig(name=BUILT_IN[0], min_score=score, padded_pass=padded)
                detector = create_detector(config)
                counts = recall(detector, self.photos).values()
                cells.append(f"{sum(some for some, _ in counts)} of {sum(there for _, there in counts)}")
                cells += [found_in(detector, self.crops), false_faces(detector, self.others)]
            _row(f"{score:.2f}", *cells)

    def turned(self) -> None:
        """Prints what is found in photos that do not stand upright, with and without rotations."""
        places = ("turned left: found (upright crops)", "upside down", "turned right")
        _head("detector", "rotations", *places, "false faces", "ms, none", "ratio")
        for name, config in self.configs.items():
            if name == "dlib":
                continue
            pair = [
                create_detector(config.model_copy(update={"rotations": rotations}))
                for rotations in (False, True)
            ]
            calls = [lambda photo, d=detector: d.detect(photo.pixels) for detector in pair]
            for detector, cell in zip(pair, timed(calls, self.none, self.rounds), strict=True):
                found = [turned_faces(detector, self.part, turns) for turns in (1, 2, 3)]
                switch = "on" if detector.config.rotations else "off"
                _row(name, switch, *found, false_faces(detector, self.others), cell)

    def large(self) -> None:
        """Prints the time from a JPEG of 12 MP to crops, decoded whole and to what is needed."""
        finder = FaceFinder(DecodeConfig(), DetectorConfig(), CROP)
        photos, both = self.part[:12], ("whole", "shrunk")
        _head(
            "share of the height",
            *(f"faces, {how}" for how in both),
            "ms, whole",
            "ratio",
            "ms, shrunk",
            "ratio",
        )
        for share in SHARES:
            files = {id(photo): large_jpeg(photo, share) for photo in photos}

            def whole(photo: Photo, files: dict[int, bytes] = files) -> list[FaceCrop]:
                return finder.find(decode(files[id(photo)], DecodeConfig()), "")

            def shrunk(photo: Photo, files: dict[int, bytes] = files) -> list[FaceCrop]:
                return finder(files[id(photo)]).faces

            counts = [sum(len(call(photo)) for photo in photos) for call in (whole, shrunk)]
            _row(f"{share:.2f}", *map(str, counts), *timed([whole, shrunk], photos, self.rounds))


TABLES = ("upright", "small", "scores", "turned", "large")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--scrfd", nargs="+", default=[], metavar="FILE", help="SCRFD ONNX files")
    parser.add_argument("--yunet", nargs="+", default=[], metavar="FILE", help="YuNet ONNX files")
    parser.add_argument("--rounds", type=int, default=3, help="of the timing (default: 3)")
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        default=[8, 16],
        metavar=("N", "M"),
        help="turn and time every Nth photo with faces, and time every Mth without (default: 8 16)",
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="which (default: all)")
    options = parser.parse_args()
    if options.data is None:
        print("detectors are compared on labelled photos, which do not come with the package: see --help")
        return
    cv2.setNumThreads(1)
    configs = {name: DetectorConfig(name=name) for name in BUILT_IN}
    for kind, files in (("insightface", options.scrfd), ("yunet", options.yunet)):
        configs |= {f"{kind} {Path(file).stem}": DetectorConfig(name=kind, model=file) for file in files}
    photos, crops = read_faces(options.data / "faces_dev"), read_crops(options.data / "photos_dev")
    others = read_others(options.data / "images_odd", options.data / "lights")
    part, none = photos[:: options.part[0]], others[:: options.part[1]]
    comparison = Comparison(configs, photos, crops, others, part, none, options.rounds)
    print(f"{platform.machine()}, CPython {platform.python_version()}, OpenCV {cv2.__version__}")
    print(
        f"{len(photos)} photos with faces, of which turned and timed: {len(part)}; {len(crops)} tight crops"
    )
    print(f"{len(others)} photos without faces, of which timed: {len(none)}")
    for table in options.tables:
        getattr(comparison, table)()


def _head(*cells: str) -> None:
    print()
    _row(*cells)
    print("|" + "---|" * len(cells))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
