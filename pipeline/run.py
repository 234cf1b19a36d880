"""A whole run on one output: check, list, cut into shards, execute what is not committed, record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.annotator import AnnotatorSource, Checkpoint
from pipeline.commit import committed_shards
from pipeline.config import NULL, RunConfig
from pipeline.detectors import DetectorError, create_detector
from pipeline.errors import UsageError
from pipeline.fingerprint import combined, fingerprints
from pipeline.lock import run_lock
from pipeline.null import NullSource, notice
from pipeline.progress import RunProgress
from pipeline.records import ShardTask
from pipeline.run_record import check_same, new_record, now, own_keys, read_record, write_record
from pipeline.shards import extend_manifest, new_images, read_manifest, shard_size
from pipeline.sources import describe, list_images
from pipeline.storage import Entry, Storage, normalize

if TYPE_CHECKING:
    from pipeline.graph import Plan

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


def annotate(
    location: str,
    output: str,
    config: RunConfig,
    *,
    limit: int | None = None,
    replace: bool = False,
    source: AnnotatorSource | None = None,
    say: Say = print,
) -> RunSummary:
    """Annotates the images of `location` into `output`; what is committed there already is not done again.

    Args:
        location: a folder, an image, a list of URIs or an s3:// prefix.
        output: a folder or s3:// prefix; new, empty, or of an earlier run with the same fingerprint.
        limit: only the first images, by URI.
        replace: delete what an earlier run wrote to `output`, whatever it was made with.
        source: the model, if it is not the one that the configuration names.
        say: told each step in a line.

    Raises:
        UsageError: something that the user can put right; nothing has been changed then.
    """
    storage = Storage(output)
    if normalize(location) == storage.root:
        raise UsageError("INPUT and OUTPUT are the same place")
    read_record(storage, any_version=replace)
    source = source or (NullSource() if config.model.path == NULL else Checkpoint(config.model.path))
    with run_lock(storage):
        return _locked(storage, location, config, limit, replace, source, say)


def _locked(
    storage: Storage,
    location: str,
    config: RunConfig,
    limit: int | None,
    replace: bool,
    source: AnnotatorSource,
    say: Say,
) -> RunSummary:
    record = read_record(storage, any_version=replace)
    parts = _fingerprints(config, source)
    if record is not None and not replace:
        check_same(record, parts, storage.root)
    listing = list_images(location, output=storage.root, limit=limit)
    changed = ", ".join(f"{key}={value}" for key, value in config.changed().items())
    say(f"settings: {changed or 'all defaults'} (the whole configuration is kept in run.json)")
    if dry := notice(config.model_dump()):
        say(dry)
    others = f" ({listing.ignored:,} with other extensions left out)" if listing.ignored else ""
    say(f"{len(listing.images):,} images in {location}{others}")
    if record is not None and replace:
        say(f"deleting what {storage.root} holds")
        storage.delete(list(own_keys(storage)))
        record = None
    record = record or new_record(config, source, parts)
    return _resume(Run(storage, record, config, source, combined(parts)), location, listing.images, say)


@dataclass(frozen=True)
class Run:
    """What belongs together once the checks are done."""

    storage: Storage
    record: dict[str, Any]
    config: RunConfig
    source: AnnotatorSource
    fingerprint: str


def _fingerprints(config: RunConfig, source: AnnotatorSource) -> dict[str, str]:
    try:
        create_detector(config.detector)
        return fingerprints(config, source.digest)
    except DetectorError as error:
        raise UsageError(str(error)) from error


def _resume(run: Run, location: str, images: list[Entry], say: Say) -> RunSummary:
    manifest = read_manifest(run.storage)
    done = set(committed_shards(run.storage))
    fresh = new_images(manifest, images)
    if not fresh and all(task.shard in done for task in manifest.tasks):
        say(f"nothing to do: all {manifest.n_images:,} images in {run.storage.root} are committed")
        return RunSummary(0, 0, 0, 0, 0, Counter(), 0.0, {})
    # Ray takes seconds to import, and a run that finds nothing to do should not.
    from pipeline.graph import cluster, plan_workers

    started = now()
    with cluster() as (cpus, gpus):
        plan = plan_workers(run.config, cpus, gpus)
        _store(run)
        size = shard_size(len(fresh), plan.detect + plan.annotate, run.config.shards)
        manifest = extend_manifest(run.storage, manifest, fresh, size)
        tasks = [task for task in manifest.tasks if task.shard not in done]
        todo = sum(len(task.images) for task in tasks)
        known = f"; {len(done):,} shards are committed already" if done else ""
        say(
            f"{todo:,} images in {len(tasks):,} shards to do{known}; {plan.detect} detect and {plan.annotate} annotate "
            f"workers, model on {plan.device}"
        )
        with RunProgress(todo) as progress:
            errors = _work_through(run, tasks, plan, progress)
    summary = RunSummary(
        shards=len(tasks),
        committed=len(tasks) - len(errors),
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
            "input": location,
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
        _store(run)
    return summary


def _work_through(run: Run, tasks: list[ShardTask], plan: Plan, progress: RunProgress) -> dict[str, str]:
    """Executes the shards; gives those that stay uncommitted, with the reason.

    What is lost without a word, because a worker process died, is done again with each image in a process of its own.
    """
    from pipeline.graph import execute

    left, died = tasks, "its worker process died"
    for careful in (False, True):
        try:
            for outcome in execute(left, run.config, run.source, run.storage, run.fingerprint, plan, careful):
                progress.add(outcome)
                if outcome.refused:
                    break
        except Exception as error:
            # Ray itself gave up; what is committed stays, and what is not is reported and left for the next call.
            died = f"the run ended early: {type(error).__name__}: {describe(error)}"
        committed = set(committed_shards(run.storage))
        if progress.refused:
            return {task.shard: progress.refused for task in tasks if task.shard not in committed}
        left = [task for task in left if task.shard not in committed and task.shard not in progress.errors]
        if not left:
            break
    return {**progress.errors, **{task.shard: died for task in left}}


def _store(run: Run) -> None:
    try:
        write_record(run.storage, run.record)
    except Exception as error:
        raise UsageError(f"cannot write to OUTPUT {run.storage.root}: {describe(error)}") from error
