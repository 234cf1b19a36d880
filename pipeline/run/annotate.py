"""A whole run on one output: check, list, cut into shards, execute what is not committed, record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.annotate.model_source import AnnotatorSource
from pipeline.annotate.null_model import notice
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.execution.progress import RunProgress
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import now, own_keys, read_record
from pipeline.run.fingerprint import check_same
from pipeline.run.setup import check_licences, fingerprints_of, model_of, new_record
from pipeline.run.work import Run, RunSummary, Say, conclude, store, work_through
from pipeline.shards.feed import Feed
from pipeline.shards.manifest import read_manifest
from pipeline.shards.shard import ShardRef
from pipeline.shards.tombstones import read_tombstones
from pipeline.storage.journal import replay_journal
from pipeline.storage.locations import normalize
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage

if TYPE_CHECKING:
    pass


SHARDS_PER_WORKER = 8
"""A wave is executed once it has so many shards for each worker, or the listing has ended."""


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
    if record is not None and (finished := replay_journal(storage)):
        say("; ".join(finished))
        record = read_record(storage, any_version=replace)
    skip = read_tombstones(storage).covers
    with Feed(storage, location, config.shards, limit=limit, skip=skip, ignore_manifest=replace) as feed:
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
        return _resume(Run(storage, record, config, source), location, feed, say)


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
    from pipeline.execution.cluster import cluster
    from pipeline.execution.plan import plan_workers

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
        todo = sum(ref.n_images for ref in left) + feed.new_images
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
    others = f" ({counts.other_files:,} with other extensions left out)" if counts.other_files else ""
    known = (
        f", beside {counts.skipped_containers:,} known tars or Parquet files"
        if counts.skipped_containers
        else ""
    )
    forgotten = f"; {feed.skipped_images:,} forgotten ones stay out" if feed.skipped_images else ""
    return f"{counts.images:,} images in {location}{others}{known}{so_far}{forgotten}"
