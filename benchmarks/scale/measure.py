"""One measured run: `facegpt annotate` in the dry mode, watched once a second, killed half way and resumed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scale.processes import Aftermath, Family
from pipeline.output.commit import committed_shards, read_commit
from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet

DRY = ("--model", "null", "--detector", "null", "--set", "output.meshes=false")
SAMPLED_EVERY = 1.0
LISTED_EVERY = {False: 0.1, True: 10.0}
"""Seconds between two looks at the commits of an output on disk, and of one in a bucket."""


@dataclass(frozen=True)
class Sample:
    """One second of a run: images committed so far, MB of the driver (RSS) and of all its processes (PSS)."""

    command: int
    seconds: float
    images: int
    driver_mb: float
    total_mb: float
    processes: int


@dataclass
class Watch:
    """The commits of an output, each read once."""

    storage: Storage
    images: dict[str, int] = field(default_factory=dict)
    looked: float = -1e9

    def count(self) -> int:
        """Images committed so far, as of the last look."""
        now = time.monotonic()
        if now - self.looked >= LISTED_EVERY[self.storage.remote]:
            for shard in committed_shards(self.storage):
                if shard not in self.images:
                    self.images[shard] = int(read_commit(self.storage, shard)["images"])
            self.looked = now
        return sum(self.images.values())


@dataclass(frozen=True)
class Measured:
    """A corpus of `images`, done. `gone`: how Ray's processes followed the killed driver; `resume` seconds from
    the second command to its first new commit; `verified` is the line of `facegpt verify`.
    """

    images: int
    remote: bool
    samples: tuple[Sample, ...]
    seconds: float
    killed_at: int | None
    gone: Aftermath | None
    resume: float | None
    objects: int
    lost: int
    duplicated: int
    verified: str
    verify_seconds: float


def measure(location: str, output: str, images: int, kill_at: float, more: list[str], log: Path) -> Measured:
    """Annotates `location` into `output` (which must be empty), killing the driver at the share `kill_at` (0: never).

    Raises:
        RuntimeError: a command failed; `log` has what it said.
    """
    storage = Storage(output)
    if not storage.is_empty():
        raise RuntimeError(f"{output} is not empty")
    command = [sys.executable, "-m", "jobs", "annotate", location, output, *DRY, *more]
    watch, samples = Watch(storage), list[Sample]()
    seconds, killed, gone, resume = 0.0, None, None, None
    if kill_at:
        took, gone = _watched(1, command, watch, samples, log, stop_at=int(kill_at * images))
        seconds += took
        watch.looked = -1e9
        killed = watch.count()
    before = watch.count()
    took, _ = _watched(2 if kill_at else 1, command, watch, samples, log, stop_at=None)
    seconds += took
    if kill_at:
        resume = next(
            (sample.seconds for sample in samples if sample.command == 2 and sample.images > before), None
        )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "verify", output], capture_output=True, text=True, check=False
    )
    verified, verify_seconds = (done.stdout + done.stderr).strip().splitlines()[-1], time.monotonic() - start
    rows, unique = _ledger(storage)
    return Measured(
        images=images,
        remote=storage.remote,
        samples=tuple(samples),
        seconds=seconds,
        killed_at=killed,
        gone=gone,
        resume=resume,
        objects=len(storage.keys()),
        lost=images - unique,
        duplicated=rows - unique,
        verified=verified,
        verify_seconds=verify_seconds,
    )


def _watched(
    number: int, command: list[str], watch: Watch, samples: list[Sample], log: Path, stop_at: int | None
) -> tuple[float, Aftermath | None]:
    """Runs the command to its end, or kills it at `stop_at` committed images; its seconds, and what `kill` gave."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("ab") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    family, start = Family(child.pid), time.monotonic()
    due = 0.0
    while child.poll() is None:
        seconds, images = time.monotonic() - start, watch.count()
        if seconds >= due:
            total, due = family.total_mb(), seconds + SAMPLED_EVERY
            samples.append(
                Sample(
                    command=number,
                    seconds=round(seconds, 2),
                    images=images,
                    driver_mb=family.driver_mb(),
                    total_mb=total,
                    processes=len(family.known),
                )
            )
        if stop_at is not None and images >= stop_at:
            return seconds, family.kill()
        time.sleep(0.1)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {child.returncode}; see {log}")
    if stop_at is not None:
        raise RuntimeError("the run ended before it could be killed: more images, or a smaller --kill-at")
    return time.monotonic() - start, None


def _ledger(storage: Storage) -> tuple[int, int]:
    """Rows of the ledger, and different URIs in them."""
    uris_so_far: set[str] = set()
    rows = 0
    for key in storage.keys("images"):
        uris = from_parquet(storage.read(key), ["uri"])["uri"].to_pylist()
        rows += len(uris)
        uris_so_far.update(uris)
    return rows, len(uris_so_far)


def write_curve(path: Path, samples: tuple[Sample, ...]) -> None:
    """The samples as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["command", "seconds", "images", "driver_rss_mb", "total_pss_mb", "processes"])
        for sample in samples:
            writer.writerow(
                [
                    sample.command,
                    sample.seconds,
                    sample.images,
                    f"{sample.driver_mb:.1f}",
                    f"{sample.total_mb:.1f}",
                    sample.processes,
                ]
            )
