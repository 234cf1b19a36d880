"""A run of the real command line on a small corpus, that a drill may disturb, and the comparison of what comes out."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas
from PIL import Image

SUPPORT = Path(__file__).parents[1]
REPOSITORY = SUPPORT.parents[1]
SHARD = 12
"""Images per shard."""
NULL = ("--model", "null", "--detector", "null")
STARTED_LATE = 240.0
"""Seconds after which a run that has not come to where a drill waits for it has failed."""


def make_corpus(folder: Path, images: int) -> Path:
    """`images` small files: pictures that all differ, and every tenth broken."""
    folder.mkdir(parents=True)
    for index in range(images):
        path = folder / f"{index // 50:02}" / f"{index:04}.png"
        path.parent.mkdir(exist_ok=True)
        if index % 10 == 9:
            path.write_bytes(b"broken %d" % index)
        else:
            colour = (index % 251, index * 7 % 251, index * 31 % 251)
            data = io.BytesIO()
            Image.new("RGB", (64 + index % 7, 64), colour).save(data, "PNG")
            path.write_bytes(data.getvalue())
    return folder


@dataclass
class Job:
    """`facegpt annotate CORPUS OUTPUT` in a process group of its own."""

    corpus: Path
    output: Path
    options: tuple[str, ...] = NULL
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> Job:
        """Starts it, and returns at once."""
        path = [*filter(None, [self.environment.get("PYTHONPATH")]), str(REPOSITORY)]
        settings = (f"shards.max_images={SHARD}", f"shards.min_images={SHARD}")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jobs", "annotate", str(self.corpus), str(self.output)),
                *self.options,
                *(part for setting in settings for part in ("--set", setting)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(path)},
        )
        return self

    def finish(self, seconds: float = 300) -> tuple[int, str]:
        """Waits for its end; gives the exit code and what it printed."""
        printed, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, printed

    def wait_for_commits(self, count: int) -> None:
        """Returns once `count` shards are committed, or the run has ended.

        Raises:
            TimeoutError: neither happens.
        """
        end = time.monotonic() + STARTED_LATE
        while self.process.poll() is None and commits(self.output) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{commits(self.output)} of {count} commits")
            time.sleep(0.005)

    def members(self, word: str = "") -> list[int]:
        """Its process and all that descend from it, whose command line holds `word`."""
        parents: dict[int, list[int]] = {}
        for pid, parent in _processes():
            parents.setdefault(parent, []).append(pid)
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += parents.get(pid, [])
        return sorted(pid for pid in found if word in _command(pid))

    def await_members(self, word: str) -> list[int]:
        """As `members`, once there are any; none if the run ends before."""
        while self.process.poll() is None:
            if found := self.members(word):
                return found
            time.sleep(0.005)
        return []


def commits(output: Path) -> int:
    """How many shards are committed."""
    folder = output / "commits"
    return sum(path.suffix == ".json" for path in folder.iterdir()) if folder.exists() else 0


def kill(pids: list[int]) -> int:
    """SIGKILL to each that still lives; says how many did."""
    killed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself
        killed += 1
    return killed


def _processes() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended in between
            yield int(entry.name), int(status[1])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass(frozen=True)
class Count:
    """What an output holds against what it should: rows, and how many are lost, doubled or different."""

    images: int
    faces: int
    lost: int
    duplicated: int
    different: int

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.duplicated or self.different)


def compare(output: Path, reference: Path) -> Count:
    """Counts ledger rows, face rows and meshes of `output` against those of an undisturbed run."""
    lost, duplicated, different = 0, 0, 0
    tables = {}
    for name, key in (("images", "uri"), ("faces", "face_id")):
        found, wanted = (pandas.read_parquet(place / name) for place in (output, reference))
        tables[name] = found
        found_keys, wanted_keys = Counter(found[key]), Counter(wanted[key])
        lost += (wanted_keys - found_keys).total()
        duplicated += (found_keys - wanted_keys).total()
        different += _differing(found, wanted, key)
    found_meshes, wanted_meshes = meshes(output), meshes(reference)
    lost += (wanted_meshes - found_meshes).total()
    duplicated += (found_meshes - wanted_meshes).total()
    return Count(len(tables["images"]), len(tables["faces"]), lost, duplicated, different)


def _differing(found: pandas.DataFrame, wanted: pandas.DataFrame, key: str) -> int:
    rows = {row[key]: row for row in _plain(wanted)}
    return sum(row[key] in rows and row != rows[row[key]] for row in _plain(found))


def _plain(table: pandas.DataFrame) -> list[dict[str, object]]:
    records = table.drop(columns="shard").to_dict("records")
    return [
        {str(name): str(getattr(value, "tolist", lambda v=value: v)()) for name, value in row.items()}
        for row in records
    ]


def meshes(output: Path) -> Counter[tuple[str, int]]:
    """Names and sizes of the meshes in the packs."""
    found: Counter[tuple[str, int]] = Counter()
    for path in sorted((output / "meshes").glob("*.tar")):
        with tarfile.open(path) as pack:
            found.update((member.name, member.size) for member in pack)
    return found


def moment(rng: random.Random, shards: int) -> tuple[int, float]:
    """A random moment in the first half of a run: so many commits, and so many seconds after that.

    Later ones would often come after its end, since the null model is quick.
    """
    return rng.randrange(shards // 2), rng.random() * 0.1
