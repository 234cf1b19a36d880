"""Putting an output in order again, without touching what a sound commit names."""

from __future__ import annotations

import hashlib
import re

from pipeline.errors import UsageError, describe, describe_with_path
from pipeline.output.commit import FOLDER, committed_shards, read_commit, read_valid_commit
from pipeline.output.run_json import OWN
from pipeline.shards.manifest import read_manifest
from pipeline.shards.tombstones import FOLDER as TOMBSTONES
from pipeline.storage.journal import JOURNAL, replay_journal
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage

TABLES = ("images", "faces", "meshes")
TEMPORARY = re.compile(r"\.[^/]+\.\d+\.\d+\.[0-9a-f]{8}")
"""What `Storage.write` calls a file that is not complete yet."""
SHOWN = 3


def repair(storage: Storage) -> list[str]:
    """Finishes or drops interrupted changes, withdraws commits whose files are not theirs, and removes what belongs to
    nothing.

    Returns:
        What was done, a line for each; nothing if there was nothing to do.

    Raises:
        UsageError: a journal is damaged, the output cannot be read or written, or another command is at work on it.
    """
    try:
        with run_lock(storage):
            said = replay_journal(storage)
            withdrawn, kept = withdraw(storage)
            return said + withdrawn + sweep(storage, kept)
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(
            f"cannot repair OUTPUT {storage.root}: {type(error).__name__}: {describe_with_path(error)}; "
            "put that right, and the same command again goes on from here"
        ) from error


def withdraw(storage: Storage) -> tuple[list[str], set[str]]:
    """Removes the commits of shards that have a file missing or changed, so that the next run makes them again.

    Returns:
        A line for each, and the files that their commits named: what is left of them stays until it is written over.
    """
    said: list[str] = []
    kept: set[str] = set()
    known = {ref.shard for ref in read_manifest(storage).shards}
    for shard in committed_shards(storage):
        trouble, named = _trouble(storage, shard)
        # A shard that no manifest lists would not be made again: that is for a person to look at.
        if trouble and shard in known:
            storage.delete([f"{FOLDER}/{shard}.json"])
            said.append(f"shard {shard}: {trouble}; its commit is withdrawn, and annotate will do it again")
            kept |= named
    return said, kept


def _trouble(storage: Storage, shard: str) -> tuple[str, set[str]]:
    """What is wrong with the files of a commit (nothing: empty), and their keys."""
    files = _files(storage, shard)
    if files is None:
        return "its commit cannot be read", _keys_of(shard)
    try:
        read_valid_commit(storage, shard)
    except UsageError:
        return "its commit does not say all that it should", set(files)
    for key, digest in files.items():
        try:
            data = storage.read(key)
        except FileNotFoundError:
            return f"{key} is missing", set(files)
        if hashlib.sha256(data).hexdigest() != digest:
            return f"{key} has changed since it was committed", set(files)
    return "", set(files)


def sweep(storage: Storage, kept: set[str] | None = None) -> list[str]:
    """Removes the files of tables and packs that no commit names (but for `kept`), temporary files of processes that
    were killed, and uploads that were never finished. The caller holds the run's lock.

    Returns:
        What was done, a line for each.
    """
    named = set(kept or ())
    for shard in committed_shards(storage):
        files = _files(storage, shard)
        named |= _keys_of(shard) if files is None else set(files)
    orphans = [key for table in TABLES for key in storage.keys(table) if key not in named]
    temporary = [key for key in storage.keys(hidden=True) if _is_temporary(key)]
    storage.delete([*orphans, *temporary])
    said = []
    if orphans:
        said.append(f"removed {len(orphans)} files that belong to no commit: {_listed(orphans)}")
    if temporary:
        said.append(f"removed {len(temporary)} temporary files of processes that were killed")
    try:
        uploads = storage.abort_uploads()
    except PermissionError as error:
        # Many a key may write objects and not list uploads; these cost storage, but no reader sees them.
        said.append(f"uploads that were never finished, if there are any, are left: {describe(error)}")
    else:
        said += [f"ended {uploads} uploads that were never finished"] if uploads else []
    return said


def _files(storage: Storage, shard: str) -> dict[str, str] | None:
    """The files that a commit names, with their sha256; None if it cannot be read."""
    try:
        return {str(file["path"]): str(file["sha256"]) for file in read_commit(storage, shard)["files"]}
    except (ValueError, KeyError, TypeError):
        return None


def _keys_of(shard: str) -> set[str]:
    """What a commit of this shard may name."""
    return {f"images/{shard}.parquet", f"faces/{shard}.parquet", f"meshes/{shard}.tar"}


def _is_temporary(key: str) -> bool:
    folder, _, name = key.rpartition("/")
    ours = folder in ("", JOURNAL, TOMBSTONES) or f"{folder}/".startswith(OWN)
    return ours and TEMPORARY.fullmatch(name) is not None


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
