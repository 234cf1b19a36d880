"""`facegpt annotate` as it is, which also reports when its workers began with their first shards.

python -m benchmarks.throughput.ours annotate PHOTOS OUTPUT [...] --report FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import fmean

from benchmarks.throughput.command import write_report
from jobs.cli import main as command
from pipeline.execution.progress import RunProgress
from pipeline.shards.shard import ShardOutcome


class Listener:
    """What the outcomes of shards say of a run: faces, images, CPU seconds, and when each worker began, by its name."""

    def __init__(self) -> None:
        self.faces = self.images = 0
        self.cpu_seconds = 0.0
        self.began: dict[str, float] = {}

    def hear(self, outcome: ShardOutcome) -> None:
        """Notes one shard."""
        self.faces += outcome.faces
        self.images += outcome.images
        self.cpu_seconds += sum(outcome.costs.cpu_seconds.values())
        for step, (begin, _) in outcome.costs.spans.items():
            worker = outcome.costs.workers[step]
            self.began[worker] = min(begin, self.began.get(worker, begin))

    @property
    def ready(self) -> float:
        """When the workers began, on the average, by `time.monotonic`; raises ValueError if none did."""
        if not self.began:
            raise ValueError("no shard says when it began")
        return time.monotonic() - (time.time() - fmean(self.began.values()))


def main() -> int:
    *arguments, flag, report = sys.argv[1:]
    if flag != "--report":
        raise SystemExit(__doc__)
    listener, add = Listener(), RunProgress.add

    def listening(progress: RunProgress, outcome: ShardOutcome) -> None:
        add(progress, outcome)
        listener.hear(outcome)

    RunProgress.add = listening  # type: ignore[method-assign]
    code = command(arguments)
    if code == 0:
        write_report(
            Path(report),
            ready=listener.ready,
            faces=listener.faces,
            images=listener.images,
            cpu_seconds=listener.cpu_seconds,
        )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
