"""The work of a run: shards executed, counted, recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError, describe
from pipeline.execution.engine import Execute
from pipeline.execution.plan import Plan
from pipeline.execution.processes import Processes
from pipeline.execution.progress import RunProgress
from pipeline.execution.stages import WorkerSetup
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import now, write_record
from pipeline.run.setup import RunSetup
from pipeline.shards.shard import ShardRef, ShardTask
from pipeline.storage.store import Storage

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunSummary:
    """What one call of `annotate` or `retry` did; without arguments, nothing. `errors`: why shards stayed uncommitted,
    by shard; `refused`: why the output took no more, if that ended the run.
    """

    shards: int = 0
    committed: int = 0
    images: int = 0
    faces: int = 0
    meshes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    refused: str = ""

    @property
    def failed_share(self) -> float:
        """Failed images as a share of those that this run annotated."""
        return self.statuses["failed"] / self.images if self.images else 0.0


@dataclass(frozen=True)
class Run:
    """A run whose checks are done: its output, the record that stands or will stand there, its set-up, and the
    processes for a small run.
    """

    storage: Storage
    record: dict[str, Any]
    setup: RunSetup
    processes: Processes = field(default_factory=Processes)

    @property
    def worker_setup(self) -> WorkerSetup:
        """What workers need of it. The fingerprint is the output's, as its run.json says it: what the commits before
        carry, too.
        """
        fingerprint = str(self.record["fingerprint"])
        return WorkerSetup(self.setup.config, self.setup.source, self.storage, fingerprint)


@dataclass(frozen=True)
class Invocation:
    """One call's part in a run: when it started, on what (`input`, in the words of run.json), and its workers."""

    started: str
    input: str
    plan: Plan


def work_through(
    run: Run,
    shards: Sequence[ShardRef | ShardTask],
    execute: Execute,
    plan: Plan,
    progress: RunProgress,
    *,
    amends: bool = False,
) -> dict[str, str]:
    """Executes the shards; gives those that stay uncommitted, with the reason. `execute` is an engine's; `amends`: see
    there.

    What is lost without a word, because a worker process died, is done again with the model in a process of its own.
    """
    uncommitted, reason = list(shards), "its worker process died"
    done: set[str] = set()
    for careful in (False, True):
        try:
            for outcome in execute(uncommitted, run.worker_setup, plan, careful=careful, amends=amends):
                progress.add(outcome)
                if not outcome.error:
                    done.add(outcome.shard)
                if outcome.refused:
                    break
        except Exception as error:
            # Ray itself gave up; what is committed stays, and what is not is reported and left for the next call.
            reason = f"the run ended early: {type(error).__name__}: {describe(error)}"
        if not amends:
            done = set(committed_shards(run.storage))
        if progress.refused:
            return {shard.shard: progress.refused for shard in shards if shard.shard not in done}
        uncommitted = [
            shard for shard in uncommitted if shard.shard not in done and shard.shard not in progress.errors
        ]
        if not uncommitted:
            break
    failed = {shard.shard: progress.errors[shard.shard] for shard in shards if shard.shard in progress.errors}
    return {**failed, **{shard.shard: reason for shard in uncommitted}}


def conclude(
    run: Run, invocation: Invocation, progress: RunProgress, shards: int, errors: dict[str, str]
) -> RunSummary:
    """Sums up one call's work on so many shards, and adds it to run.json, unless the output takes no more."""
    summary = RunSummary(
        shards=shards,
        committed=shards - len(errors),
        images=progress.images,
        faces=progress.faces,
        meshes=progress.meshes,
        statuses=progress.statuses,
        seconds=progress.seconds,
        errors=errors,
        refused=progress.refused,
    )
    plan = invocation.plan
    run.record["invocations"].append(
        {
            "started": invocation.started,
            "finished": now(),
            "input": invocation.input,
            "images": summary.images,
            "faces": summary.faces,
            "meshes": summary.meshes,
            "statuses": dict(sorted(summary.statuses.items())),
            "uncommitted_shards": len(errors),
            "seconds": round(summary.seconds, 1),
            "workers": {"detect": plan.detect, "annotate": plan.annotate, "device": plan.device},
            "costs": progress.costs.as_json(),
        }
    )
    if not progress.refused:
        store(run)
    return summary


def store(run: Run) -> None:
    """Writes run.json; raises UsageError if it cannot."""
    try:
        write_record(run.storage, run.record)
    except Exception as error:
        raise UsageError(f"cannot write to OUTPUT {run.storage.root}: {describe(error)}") from error
