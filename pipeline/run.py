"""A whole run on one output: check, list, cut into shards, execute what is not committed, record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.annotator import AnnotatorSource, Checkpoint
from pipeline.commit import committed_shards
from pipeline.config import NULL, RunConfig
from pipeline.detectors import DetectorError, create_detector
from pipeline.detectors.registry import detector_class
from pipeline.errors import UsageError
from pipeline.feed import Feed
from pipeline.fingerprint import combined, fingerprints
from pipeline.lock import run_lock
from pipeline.null import NullSource, notice
from pipeline.progress import RunProgress
from pipeline.records import ShardRef, ShardTask
from pipeline.rewrite import replay
from pipeline.run_record import check_same, new_record, now, own_keys, read_record, weights_of, write_record
from pipeline.shards import read_manifest
from pipeline.sources import describe
from pipeline.storage import Storage, normalize
from pipeline.tombstones import read_tombstones
from pipeline.weights.used import require_commercial

if TYPE_CHECKING:
    from pipeline.graph import Plan

Say = Callable[[str], None]

SHARDS_PER_WORKER = 8
"""A wave is executed once it has so many shards for each worker, or the listing has ended."""


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
        location: a folder, an image, a tar, a Parquet file or a list of URIs, or an s3:// URL of one of these.
        output: a folder or s3:// prefix; new, empty, or of an earlier run with the same fingerprint.
        limit: only the first images: by path, of a list its first lines.
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
    source = source or model_of(config)
    check_licences(config, source)
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
    parts = fingerprints_of(config, source)
    fresh = new_record(config, source, parts)
    if record is not None and not replace:
        check_same(record, parts, storage.root)
    if record is not None and (finished := replay(storage)):
        say("; ".join(finished))
        record = read_record(storage, any_version=replace)
    skip = read_tombstones(storage).hold
    with Feed(storage, location, config.shards, limit=limit, skip=skip, anew=replace) as feed:
        feed.wait()
        changed = ", ".join(f"{key}={value}" for key, value in config.changed().items())
        say(f"settings: {changed or 'all defaults'} (the whole configuration is kept in run.json)")
        if dry := notice(config.model_dump()):
            say(dry)
        if record is not None and replace:
            say(f"deleting what {storage.root} holds")
            storage.delete(list(own_keys(storage)))
            record = None
        record = record or fresh
        return _resume(Run(storage, record, config, source, combined(parts)), location, feed, say)


@dataclass(frozen=True)
class Run:
    """What belongs together once the checks are done."""

    storage: Storage
    record: dict[str, Any]
    config: RunConfig
    source: AnnotatorSource
    fingerprint: str


def model_of(config: RunConfig) -> AnnotatorSource:
    """The model that a configuration names, not loaded yet; raises UsageError if there is none."""
    if config.model.path == NULL:
        return NullSource()
    return Checkpoint(config.model.path, config.model.face_model)


def check_licences(config: RunConfig, source: AnnotatorSource) -> None:
    """Raises UsageError if the configuration wants commercial use, and a weight is not known to permit it."""
    if config.licences.commercial_only:
        require_commercial(weights_of(config, source))


def fingerprints_of(config: RunConfig, source: AnnotatorSource) -> dict[str, str]:
    """What decides the rows of a run, by part; raises UsageError if the detector cannot work."""
    try:
        detector_class(config.detector.name).check_device(config.detector.device)
        # The head of a cluster need not have the workers' GPU.
        create_detector(config.detector.model_copy(update={"device": "cpu"}))
        return fingerprints(config, source.digest)
    except DetectorError as error:
        raise UsageError(str(error)) from error


def _resume(run: Run, location: str, feed: Feed, say: Say) -> RunSummary:
    manifest = read_manifest(run.storage)
    done = set(committed_shards(run.storage))
    stray = len(done - {ref.shard for ref in manifest.shards})
    if stray:
        # Their numbers would be given to other images, which would count as committed then.
        raise UsageError(
            f"OUTPUT {run.storage.root} is damaged: {stray} committed shards stand in no part of the manifest. Put it "
            "back as it was, choose a new OUTPUT, or --replace"
        )
    left = [ref for ref in manifest.shards if ref.shard not in done]
    if not feed.wait() and not left:
        say(_found(feed, location))
        say(f"nothing to do: all {manifest.n_images:,} images in {run.storage.root} are committed")
        return RunSummary(0, 0, 0, 0, 0, Counter(), 0.0, {})
    # Ray takes seconds to import, and a run that finds nothing to do should not.
    from pipeline.graph import cluster, plan_workers

    started = now()
    refs: list[ShardRef] = []
    errors: dict[str, str] = {}
    with cluster() as (cpus, gpus):
        plan = plan_workers(run.config, cpus, gpus)
        workers = plan.detect + plan.annotate
        feed.settle()
        store(run)
        feed.start(workers)
        wave = [*left, *feed.wave(0 if left else SHARDS_PER_WORKER * workers)]
        say(_found(feed, location))
        todo = sum(ref.n_images for ref in left) + feed.fresh
        shards = f"{len(wave):,} shards" if feed.is_listed else "shards, and counting,"
        known = f"; {len(done):,} shards are committed already" if done else ""
        say(
            f"{todo:,} images in {shards} to do{known}; {plan.detect} detect and {plan.annotate} annotate "
            f"workers, model on {plan.device}"
        )
        with RunProgress() as progress:
            while wave:
                refs += wave
                progress.expect(sum(ref.n_images for ref in wave))
                errors |= work_through(run, wave, plan, progress)
                wave = [] if progress.refused else feed.wave(SHARDS_PER_WORKER * workers)
    summary = conclude(run, plan, started, location, len(refs), errors, progress)
    if feed.error:
        done_so_far = f"{summary.images:,} images that were found before are done"
        raise UsageError(f"{feed.error} ({done_so_far}; the same command goes on)")
    return summary


def _found(feed: Feed, location: str) -> str:
    counts = feed.counts
    so_far = "" if feed.is_listed else " so far; listing goes on beside the work"
    others = f" ({counts.ignored:,} with other extensions left out)" if counts.ignored else ""
    known = (
        f", beside {counts.known_containers:,} known tars or Parquet files" if counts.known_containers else ""
    )
    forgotten = f"; {feed.skipped:,} forgotten ones stay out" if feed.skipped else ""
    return f"{counts.found:,} images in {location}{others}{known}{so_far}{forgotten}"


def work_through(
    run: Run, shards: Sequence[ShardRef | ShardTask], plan: Plan, progress: RunProgress, amends: bool = False
) -> dict[str, str]:
    """Executes the shards; gives those that stay uncommitted, with the reason. `amends`: see `execute`.

    What is lost without a word, because a worker process died, is done again with the model in a process of its own.
    """
    from pipeline.graph import execute

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
