"""A whole run on one output: check, list, cut into shards, execute what is not committed, record."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.annotate.model_source import ModelSource
from pipeline.annotate.null_model import notice
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.execution.engine import engine_for, head_start
from pipeline.execution.plan import Plan, plan_workers
from pipeline.execution.processes import Processes
from pipeline.execution.progress import RunProgress
from pipeline.output.commit import committed_shards
from pipeline.output.run_json import now, read_record, run_keys
from pipeline.run.fingerprint import check_same
from pipeline.run.setup import RunSetup, new_record, set_up
from pipeline.run.work import Invocation, Run, RunSummary, Say, conclude, store, work_through
from pipeline.shards.feed import Feed
from pipeline.shards.manifest import Manifest, read_manifest
from pipeline.shards.shard import ShardRef
from pipeline.shards.tombstones import read_tombstones
from pipeline.storage.journal import replay_journal
from pipeline.storage.locations import normalize
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage

SHARDS_PER_WORKER = 8
"""A wave is executed once it has so many shards for each worker, or the listing has ended."""


def annotate(
    location: str,
    output: str,
    config: RunConfig,
    *,
    limit: int | None = None,
    replace: bool = False,
    source: ModelSource | None = None,
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
    # Read here to fail before a model is looked for, downloaded or hashed; it counts as it is under the lock.
    read_record(storage, any_version=replace)
    with Processes() if source else head_start(config) as processes:
        setup = set_up(config, source)
        with run_lock(storage):
            return _locked(storage, setup, processes, location, say, limit=limit, replace=replace)


def _locked(
    storage: Storage,
    setup: RunSetup,
    processes: Processes,
    location: str,
    say: Say,
    *,
    limit: int | None,
    replace: bool,
) -> RunSummary:
    record = read_record(storage, any_version=replace)
    if record is not None and not replace:
        check_same(record, setup.fingerprints, storage.root)
    if record is not None and (changes := replay_journal(storage)):
        say("; ".join(changes))
        # run.json may be part of a change that has just been finished.
        record = read_record(storage, any_version=replace)
    forgotten = read_tombstones(storage).covers
    with Feed(
        storage, location, setup.config.shards, limit=limit, skip=forgotten, ignore_manifest=replace
    ) as feed:
        feed.wait()
        changed = ", ".join(f"{key}={value}" for key, value in setup.config.changed().items())
        say(f"settings: {changed or 'all defaults'} (the whole configuration is kept in run.json)")
        if dry := notice(setup.config.model_dump()):
            say(dry)
        if record is not None and replace:
            say(f"deleting what {storage.root} holds")
            storage.delete(list(run_keys(storage)))
            record = None
        run = Run(storage, record or new_record(setup), setup, processes)
        return _resume(run, location, feed, say)


@dataclass(frozen=True)
class Backlog:
    """The shards of earlier calls: those that are not committed, and how many are."""

    uncommitted: list[ShardRef]
    committed: int

    @property
    def images(self) -> int:
        """Number of images in the uncommitted shards."""
        return sum(ref.n_images for ref in self.uncommitted)


def _resume(run: Run, location: str, feed: Feed, say: Say) -> RunSummary:
    manifest = read_manifest(run.storage)
    backlog = _backlog(run.storage, manifest)
    if not feed.wait() and not backlog.uncommitted:
        say(_listing_line(feed, location))
        say(f"nothing to do: all {manifest.n_images:,} images in {run.storage.root} are committed")
        return RunSummary()
    summary = _execute(run, location, feed, backlog, say)
    if feed.error:
        done_so_far = f"{summary.images:,} images that were found before are done"
        raise UsageError(f"{feed.error} ({done_so_far}; the same command goes on)")
    return summary


def _backlog(storage: Storage, manifest: Manifest) -> Backlog:
    """Compares the manifest with the commits; raises UsageError if there are commits of shards that it lacks."""
    committed = set(committed_shards(storage))
    stray = len(committed - {ref.shard for ref in manifest.shards})
    if stray:
        # Their numbers would be given to other images, which would count as committed then.
        raise UsageError(
            f"OUTPUT {storage.root} is damaged: {stray} committed shards stand in no part of the manifest. Put it "
            "back as it was, choose a new OUTPUT, or --replace"
        )
    return Backlog([ref for ref in manifest.shards if ref.shard not in committed], len(committed))


def _execute(run: Run, location: str, feed: Feed, backlog: Backlog, say: Say) -> RunSummary:
    """Executes shards in waves: the backlog with the feed's first ones, then what the feed gives until it ends."""
    started = now()
    shards = 0
    errors: dict[str, str] = {}
    feed.settle()
    todo = backlog.images + feed.new_images if feed.is_listed else None
    with engine_for(run.setup.config, todo, run.processes) as engine:
        plan = plan_workers(run.setup.config, engine.cpus, engine.gpus)
        workers = plan.workers
        store(run)
        feed.start(workers)
        wave = [
            *backlog.uncommitted,
            *feed.wave(0 if backlog.uncommitted else SHARDS_PER_WORKER * workers),
        ]
        say(_listing_line(feed, location))
        say(_work_line(len(wave), feed, backlog, plan))
        with RunProgress() as progress:
            while wave:
                shards += len(wave)
                progress.expect(sum(ref.n_images for ref in wave))
                errors |= work_through(run, wave, engine.execute, plan, progress)
                wave = [] if progress.refused else feed.wave(SHARDS_PER_WORKER * workers)
    return conclude(run, Invocation(started, location, plan), progress, shards, errors)


def _listing_line(feed: Feed, location: str) -> str:
    counts = feed.counts
    so_far = "" if feed.is_listed else " so far; listing goes on beside the work"
    others = f" ({counts.other_files:,} with other extensions left out)" if counts.other_files else ""
    containers = (
        f", beside {counts.skipped_containers:,} known tars or Parquet files"
        if counts.skipped_containers
        else ""
    )
    forgotten = f"; {feed.skipped_images:,} forgotten ones stay out" if feed.skipped_images else ""
    return f"{counts.images:,} images in {location}{others}{containers}{so_far}{forgotten}"


def _work_line(wave: int, feed: Feed, backlog: Backlog, plan: Plan) -> str:
    images = backlog.images + feed.new_images
    shards = f"{wave:,} shards" if feed.is_listed else "shards, and counting,"
    done = f"; {backlog.committed:,} shards are committed already" if backlog.committed else ""
    return f"{images:,} images in {shards} to do{done}; {plan.line}"
