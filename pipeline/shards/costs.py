"""What the work on a shard cost: seconds of its steps and of their parts, processor time, memory."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CHILD = "child"
"""Stands in `Costs.peak_bytes` for the process in which a worker detects."""


@dataclass
class Costs:
    """Costs of the steps that a shard, or several, went through; all are zero until somebody counts.

    `seconds`: wall seconds by step (`detect`), and by part of a step (`detect.decode`). `cpu_seconds`: by step, the
    child of the worker included. `spans`: by step, when it began and ended, in seconds since the epoch. `workers`: by
    step, the process that did it. `peak_bytes`: by step, resident memory of its process at the most so far, and under
    `CHILD` that of its child. `micro_batch`: crops that the model took at a time.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    micro_batch: int = 0

    def add(self, other: Costs) -> None:
        """Adds other seconds, and keeps the higher peaks; spans and workers are those of one shard, and stay."""
        for mine, theirs in ((self.seconds, other.seconds), (self.cpu_seconds, other.cpu_seconds)):
            for name, value in theirs.items():
                mine[name] = mine.get(name, 0.0) + value
        for name, peak in other.peak_bytes.items():
            self.peak_bytes[name] = max(peak, self.peak_bytes.get(name, 0))
        self.micro_batch = self.micro_batch or other.micro_batch

    def follow(self, earlier: Costs) -> None:
        """Adds what the steps before cost the same shard."""
        self.add(earlier)
        self.spans = {**earlier.spans, **self.spans}
        self.workers = {**earlier.workers, **self.workers}

    def as_json(self) -> dict[str, Any]:
        """Returns the sums, as run.json keeps them."""
        return {
            "seconds": {name: round(value, 2) for name, value in sorted(self.seconds.items())},
            "cpu_seconds": {name: round(value, 2) for name, value in sorted(self.cpu_seconds.items())},
            "peak_bytes": dict(sorted(self.peak_bytes.items())),
            "micro_batch": self.micro_batch,
        }


class StepClock:
    """Clock that starts with a step of a worker, in the process that does it."""

    def __init__(self) -> None:
        self.began, self._wall, self._cpu = time.time(), time.perf_counter(), time.process_time()

    def stop(self, step: str, costs: Costs) -> None:
        """Writes down what the step cost; what its child cost stands in `costs` already."""
        wall = time.perf_counter() - self._wall
        costs.seconds[step] = wall
        costs.cpu_seconds[step] = costs.cpu_seconds.get(step, 0.0) + time.process_time() - self._cpu
        costs.spans[step] = (self.began, self.began + wall)
        costs.workers[step] = f"{socket.gethostname()}:{os.getpid()}"
        costs.peak_bytes[step] = own_peak_bytes()


def costs_of(value: Any) -> Costs | None:
    """Returns the costs that a shard carries, None where what stands for it carries none."""
    costs = getattr(value, "costs", None)
    return costs if isinstance(costs, Costs) else None


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall seconds of the block to those under `name`, also when it ends with an exception."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started


def own_peak_bytes() -> int:
    """Returns the resident memory of this process at the most so far; Linux counts it in KiB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
