"""Whole runs beside what a user would write over the same functions, in turn: photos a second, start and all."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.throughput.command import (
    CommandError,
    Done,
    annotate_command,
    run_module,
    run_reporting,
)
from benchmarks.throughput.corpus import make_corpus, photos_in
from pipeline.config import load_config
from pipeline.execution.engine import cpus_here

OURS = "facegpt annotate"
RAY = "facegpt annotate, with Ray"
LOOP, POOL, MODEL = "loop", "process pool", "bare model"
PEER = "MediaPipe face mesh"
CONTENDERS = (OURS, RAY, LOOP, POOL, MODEL)
WITH_RAY = "workers.engine=ray"
NAIVE, OURS_MODULE = "benchmarks.throughput.naive", "benchmarks.throughput.ours"


@dataclass(frozen=True)
class Timed:
    """A whole run: wall seconds, seconds of them until its processes began to work, on the average, and the faces that
    it found. `cpu_seconds`: of the work, where the run tells.
    """

    seconds: float
    start: float
    faces: int
    cpu_seconds: float = 0.0

    @property
    def work(self) -> float:
        """Seconds without the start."""
        return self.seconds - self.start


@dataclass
class Table:
    """Whole runs over `photos` photos by contender, one for each repeat."""

    photos: int
    cpus: float
    runs: dict[str, list[Timed]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """What whole runs need: photos, a folder to work in, settings, and a Python that has MediaPipe."""

    photos: Path
    work: Path
    overrides: Sequence[str] = ()
    mediapipe: Path | None = None

    def corpus(self, count: int) -> Path:
        """Makes the corpus of `count` photos, unless it is there."""
        folder = self.work / f"photos-{count}"
        make_corpus(photos_in(self.photos), count, folder)
        return folder

    def tree_of(self, checkout: Path) -> Path:
        """Makes a folder with the packages of another checkout and this benchmark, which may be newer than that."""
        folder = self.work.resolve() / "tree"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("facegpt", "pipeline", "schemas", "jobs"):
            (folder / name).symlink_to(checkout.resolve() / name)
        (folder / "benchmarks").symlink_to(Path(__file__).resolve().parents[1])
        return folder


def measure(place: Place, count: int, contenders: Sequence[str], repeats: int) -> Table:
    """Measures whole runs over `count` photos, all contenders in each repeat, which begins with another one each time.

    Raises:
        CommandError: a run failed, or two that do the same work found another number of faces.
    """
    table = Table(count, cpus_here())
    ways = _ways(place, count, contenders)
    names = list(ways)
    for turn in range(repeats):
        for index in range(len(names)):
            name = names[(index + turn) % len(names)]
            table.runs.setdefault(name, []).append(ways[name]())
            _say(f"{count} photos, {name}, {turn + 1} of {repeats}: {table.runs[name][-1].seconds:.1f} s")
    found = {name: {one.faces for one in runs} for name, runs in table.runs.items() if name != PEER}
    if len(set.union(*found.values())) > 1:
        raise CommandError(f"not the same work: faces found are {found}")
    return table


def _ways(place: Place, count: int, contenders: Sequence[str]) -> dict[str, Callable[[], Timed]]:
    corpus = place.corpus(count)
    ways: dict[str, Callable[[], Timed]] = {}
    if OURS in contenders:
        ways[OURS] = lambda: ours(place, corpus, place.overrides)
    if RAY in contenders:
        ways[RAY] = lambda: ours(place, corpus, [*place.overrides, WITH_RAY])
    for way, name in (("loop", LOOP), ("pool", POOL)):
        if name in contenders:
            ways[name] = lambda way=way: _reported(place, [way, str(corpus)])
    if MODEL in contenders:
        crops, faces = crops_of(place, corpus)
        ways[MODEL] = lambda: _reported(place, ["model", str(crops)], faces)
    if place.mediapipe is not None:
        peer = [str(place.mediapipe), str(Path(__file__).with_name("peer.py")), str(corpus)]
        ways[PEER] = lambda: _timed(run_reporting(peer))
    return ways


def ours(place: Place, photos: Path, overrides: Sequence[str]) -> Timed:
    """Runs `facegpt annotate`; its start ends when its workers begin with their first shards, on the average."""
    output = place.work / "output"
    shutil.rmtree(output, ignore_errors=True)
    done = run_reporting(annotate_command(photos, output, overrides, OURS_MODULE))
    shutil.rmtree(output)
    return _timed(done)


def _reported(place: Place, arguments: Sequence[str], faces: int | None = None) -> Timed:
    output = place.work / "output"
    shutil.rmtree(output, ignore_errors=True)
    settings = [word for override in place.overrides for word in ("--set", override)]
    wanted = [] if faces is None else ["--faces", str(faces)]
    done = run_module(NAIVE, [*arguments, str(output), *settings, *wanted])
    shutil.rmtree(output)
    return _timed(done)


def _timed(done: Done) -> Timed:
    report = done.report
    return Timed(
        done.seconds, float(report["ready"]), int(report["faces"]), float(report.get("cpu_seconds", 0.0))
    )


def crops_of(place: Place, corpus: Path) -> tuple[Path, int]:
    """Cuts the crops of a corpus' first round into a file; gives it, and the number of faces in all of the corpus."""
    from facegpt.photo.finder import FaceFinder
    from pipeline.annotate.model_source import CheckpointSource

    config = load_config(None, place.overrides)
    source = CheckpointSource(config.model.path, config.model.face_model)
    finder = FaceFinder(config.decode, config.detector, source.crop_size)
    photos = photos_in(corpus)
    first = [path for path in photos if path.parent == photos[0].parent]
    found = [finder(path.read_bytes()).faces for path in first]
    crops = np.stack([face.crop for faces in found for face in faces])
    file = place.work / f"{corpus.name}-crops.npy"
    np.save(file, crops)
    return file, sum(len(found[index % len(found)]) for index in range(len(photos)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
