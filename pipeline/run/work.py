"""The work of a run: shards executed, counted, recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.annotate.model_source import AnnotatorSource
from pipeline.config import RunConfig
from pipeline.errors import UsageError, describe
from pipeline.execution.progress import RunProgress
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import now, write_record
from pipeline.shards.shard import ShardRef, ShardTask
from pipeline.storage.store import Storage

if TYPE_CHECKING:
    from pipeline.execution.plan import Plan

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunSummary:
    """What one call of `annotate` did. `errors`: why shards stayed uncommitted, by shard; `refused`: why the output
    took no more, if that ended the run.
    """

    shards: int
    committed: int
    images: int
    faces: int
    meshes: int
    statuses: Counter[str]
    seconds: float
    errors: dict[str, str]
    refused: str = ""

    @property
    def failed_share(self) -> float:
        """Failed images as a share of those that this run annotated."""
        return self.statuses["failed"] / self.images if self.images else 0.0


@dataclass(frozen=True)
class Run:
    """What belongs together once the checks are done."""

    storage: Storage
    record: dict[str, Any]
    config: RunConfig
    source: AnnotatorSource

    @property
    def fingerprint(self) -> str:
        """The output's, as its run.json says it: what the commits before carry, too."""
        return str(self.record["fingerprint"])


def work_through(
    run: Run, shards: Sequence[ShardRef | ShardTask], plan: Plan, progress: RunProgress, amends: bool = False
) -> dict[str, str]:
    """Executes the shards; gives those that stay uncommitted, with the reason. `amends`: see `execute`.

    What is lost without a word, because a worker process died, is done again with the model in a process of its own.
    """
    from pipeline.execution.graph import execute

    left, died = list(shards), "its worker process died"
    done: set[str] = set()
    for careful in (False, True):
        try:
            for outcome in execute(
                left, run.config, run.source, run.storage, run.fingerprint, plan, careful, amends
            ):
                progress.add(outcome)
                if not outcome.error:
                    done.add(outcome.shard)
                if outcome.refused:
                    break
        except Exception as error:
            # Ray itself gave up; what is committed stays, and what is not is reported and left for the next call.
            died = f"the run ended early: {type(error).__name__}: {describe(error)}"
        if not amends:
            done = set(committed_shards(run.storage))
        if progress.refused:
            return {shard.shard: progress.refused for shard in shards if shard.shard not in done}
        left = [shard for shard in left if shard.shard not in done and shard.shard not in progress.errors]
        if not left:
            break
    failed = {shard.shard: progress.errors[shard.shard] for shard in shards if shard.shard in progress.errors}
    return {**failed, **{shard.shard: died for shard in left}}


def conclude(
    run: Run, plan: Plan, started: str, what: str, shards: int, errors: dict[str, str], progress: RunProgress
) -> RunSummary:
    """Adds one call's work on `what` to run.json, unless the output takes no more, and sums it up."""
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
    run.record["invocations"].append(
        {
            "started": started,
            "finished": now(),
            "input": what,
            "images": summary.images,
            "faces": summary.faces,
            "meshes": summary.meshes,
            "statuses": dict(sorted(summary.statuses.items())),
            "uncommitted_shards": len(errors),
            "seconds": round(summary.seconds, 1),
            "workers": {"detect": plan.detect, "annotate": plan.annotate, "device": plan.device},
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
