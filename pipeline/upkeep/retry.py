"""Doing the failed images of an output again, with what the output was made with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.annotate.model_source import ModelSource
from pipeline.config import config_of
from pipeline.execution.engine import engine_for
from pipeline.execution.plan import plan_workers
from pipeline.execution.progress import RunProgress
from pipeline.output.commit import committed_shards, read_valid_commit
from pipeline.output.run_json import existing_run, now
from pipeline.output.shard_files import read_ledger
from pipeline.run.fingerprint import check_same
from pipeline.run.setup import set_up
from pipeline.run.work import Invocation, Run, RunSummary, Say, conclude, work_through
from pipeline.shards.manifest import Manifest, ShardLoader, read_manifest
from pipeline.shards.shard import ShardTask
from pipeline.storage.journal import replay_journal
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage

READERS = 16
WAY_OUT = "retry wants the settings, model and version of facegpt that the output was made with"


@dataclass(frozen=True)
class Choice:
    """Which failed images: those with `reason` in their reason (in any case) and with this `stage`, where given."""

    reason: str | None = None
    stage: str | None = None

    def takes(self, row: dict[str, Any]) -> bool:
        """Tells whether a ledger row is one of them."""
        if row["status"] != "failed" or self.stage not in (None, row["stage"]):
            return False
        return self.reason is None or self.reason.casefold() in (row["reason"] or "").casefold()

    def __str__(self) -> str:
        reason = f" with {self.reason!r} in the reason" if self.reason is not None else ""
        return f"failed images{reason}{f' in stage {self.stage}' if self.stage is not None else ''}"


def retry(
    output: str,
    choice: Choice | None = None,
    overrides: list[str] | None = None,
    *,
    source: ModelSource | None = None,
    say: Say = print,
) -> RunSummary:
    """Does the chosen failed images of `output` again; all other rows stay as they are.

    Args:
        output: a folder or s3:// prefix with a run.
        choice: which of the failed images; all of them if not given.
        overrides: `a.b=value`, for settings that change no row, such as `workers.detect=2`.
        source: the model, if it is not the one that run.json names.
        say: told each step in a line.

    Returns:
        What was done; images, faces and statuses are those of the images that were done again.

    Raises:
        UsageError: something that the user can put right; nothing has been changed then.
    """
    storage = Storage(output)
    record = existing_run(storage)
    setup = set_up(config_of(record["config"], overrides), source)
    check_same(record, setup.fingerprints, storage.root, WAY_OUT)
    with run_lock(storage):
        for line in replay_journal(storage):
            say(line)
        # Until the lock was held another command may have changed run.json, or replaced the output.
        record = existing_run(storage)
        check_same(record, setup.fingerprints, storage.root, WAY_OUT)
        return _retry(Run(storage, record, setup), choice or Choice(), say)


def _retry(run: Run, choice: Choice, say: Say) -> RunSummary:
    storage = run.storage
    tasks, outdated = failed_tasks(storage, read_manifest(storage), choice)
    if outdated:
        say(f"{outdated:,} {choice} are left as they are: a newer version of the file is in the output")
    if not tasks:
        say(f"nothing to do: no {choice} in {storage.root}")
        return RunSummary()
    return _execute(run, tasks, str(choice), say)


def failed_tasks(storage: Storage, manifest: Manifest, choice: Choice) -> tuple[list[ShardTask], int]:
    """Finds the chosen images of committed shards, by shard, and how many are left out since their file has changed:
    the version that failed is gone, and the one that is there now has a row of its own.
    """
    shards = committed_shards(storage)
    with ThreadPoolExecutor(READERS) as pool:
        failed = dict(zip(shards, pool.map(partial(_failed, storage, choice), shards), strict=True))
    # Of all that is listed, only these are kept in mind: a manifest can be long.
    wanted = set[str]().union(*failed.values())
    newest: dict[str, str] = {}
    chosen: list[ShardTask] = []
    for task in map(ShardLoader(storage), manifest.shards):
        listed = tuple(entry for entry in task.images if entry.uri in wanted)
        newest |= {entry.uri: task.shard for entry in listed}
        uris = failed.get(task.shard, set())
        chosen.append(ShardTask(task.shard, tuple(entry for entry in listed if entry.uri in uris)))
    tasks = [
        ShardTask(task.shard, tuple(entry for entry in task.images if newest[entry.uri] == task.shard))
        for task in chosen
    ]
    outdated = sum(len(task.images) for task in chosen) - sum(len(task.images) for task in tasks)
    return [task for task in tasks if task.images], outdated


def _failed(storage: Storage, choice: Choice, shard: str) -> set[str]:
    if not read_valid_commit(storage, shard)["statuses"].get("failed"):
        return set()
    table = read_ledger(storage, shard, ["uri", "status", "stage", "reason"])
    return {row["uri"] for row in table.to_pylist() if choice.takes(row)}


def _execute(run: Run, tasks: list[ShardTask], what: str, say: Say) -> RunSummary:
    started = now()
    todo = sum(len(task.images) for task in tasks)
    with engine_for(run.setup.config, todo, run.processes) as engine:
        plan = plan_workers(run.setup.config, engine.cpus, engine.gpus)
        say(f"{todo:,} {what} in {len(tasks):,} shards to do again; model on {plan.device}")
        with RunProgress() as progress:
            progress.expect(todo)
            errors = work_through(run, tasks, engine.execute, plan, progress, amends=True)
    if not errors:
        # What a commit left behind that died and was repeated; where shards are left, one may still be at work.
        replay_journal(run.storage)
    return conclude(run, Invocation(started, f"retry: {what}", plan), progress, len(tasks), errors)
