"""How far a run is: a bar on a terminal, elsewhere a log line a minute."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.shards.costs import Costs
from pipeline.shards.shard import ShardOutcome

LOG = logging.getLogger("facegpt")
SECONDS = 60.0


class RunProgress:
    """Counts what the shards bring in; use as a context manager around the run."""

    def __init__(self, images: int = 0, interval: float = SECONDS, title: str = "annotate") -> None:
        self.total = images
        self.title = title
        self.interval = interval
        self.images = 0
        self.faces = 0
        self.meshes = 0
        self.statuses: Counter[str] = Counter()
        self.costs = Costs()
        self.errors: dict[str, str] = {}
        self.refused = ""
        self.started = time.monotonic()
        self._done = threading.Event()
        self._ticker: threading.Thread | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> RunProgress:
        self.started = time.monotonic()
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(self.title),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("images, {task.fields[detail]}, left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self.title, total=self.total, detail="starting")
            self._bar.start()
        else:
            self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._bar is not None:
            self._bar.stop()
        if self._ticker is not None:
            self._ticker.join()

    def expect(self, images: int) -> None:
        """Adds so many images to those that are to be done."""
        self.total += images
        if self._bar is not None:
            self._bar.update(self._task, total=self.total)

    def add(self, outcome: ShardOutcome) -> None:
        """Counts one shard."""
        if outcome.error:
            self.errors[outcome.shard] = outcome.error
        if outcome.refused:
            self.refused = outcome.error
        self.images += outcome.images
        self.faces += outcome.faces
        self.meshes += outcome.meshes
        self.statuses.update(outcome.statuses)
        self.costs.add(outcome.costs)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.images, detail=self._detail())

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """Tells the state in one line."""
        rate = self.images / max(self.seconds, 1e-9)
        remaining = (
            f", about {_span((self.total - self.images) / rate)} left" if 0 < self.images < self.total else ""
        )
        return f"{self.images:,} of {self.total:,} images, {self._detail()}{remaining}"

    def _detail(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.faces:,} faces, {self.statuses['failed']:,} failed, "
            f"{self.images / seconds:.1f} images/s, {self.faces / seconds:.1f} faces/s"
        )

    def _tick(self) -> None:
        while not self._done.wait(self.interval):
            LOG.info("%s", self.line())


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
