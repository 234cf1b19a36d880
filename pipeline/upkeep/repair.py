"""Repairing an output, without touching the files of a valid commit."""

from __future__ import annotations

import hashlib
import re

from pipeline.errors import UsageError, describe, describe_with_path
from pipeline.output.commit import (
    commit_key,
    committed_shards,
    meshes_key,
    read_commit,
    read_valid_commit,
    table_key,
)
from pipeline.output.run_json import RUN_FOLDERS
from pipeline.shards.manifest import read_manifest
from pipeline.shards.tombstones import TOMBSTONES
from pipeline.storage.journal import JOURNAL, replay_journal
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage

TABLES = ("images", "faces", "meshes")
TEMPORARY = re.compile(r"\.[^/]+\.\d+\.\d+\.[0-9a-f]{8}")
"""Name that `Storage.write` gives to a file that is not complete yet."""
SHOWN = 3


def repair(storage: Storage) -> list[str]:
    """Repairs an output.

    Finishes or drops interrupted rewrites, withdraws the commits of shards whose files are missing or changed, and
    removes files that belong to no commit.

    Returns:
        What was done, a line for each; empty if there was nothing to do.

    Raises:
        UsageError: a journal is damaged, the output cannot be read or written, or another command is at work on it.
    """
    try:
        with run_lock(storage):
            lines = replay_journal(storage)
            withdrawn, kept = withdraw_commits(storage)
            return lines + withdrawn + sweep(storage, kept)
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(
            f"cannot repair OUTPUT {storage.root}: {type(error).__name__}: {describe_with_path(error)}; "
            "put that right, and the same command again goes on from here"
        ) from error


def withdraw_commits(storage: Storage) -> tuple[list[str], set[str]]:
    """Removes the commits of shards that have a file missing or changed, so that the next run executes them again.

    Returns:
        A line for each, and the keys that their commits named: those files stay until they are written over.
    """
    lines: list[str] = []
    kept: set[str] = set()
    in_manifest = {ref.shard for ref in read_manifest(storage).shards}
    for shard in committed_shards(storage):
        damage, named = _find_damage(storage, shard)
        # A shard that is not in the manifest would not be executed again: that is for a person to look at.
        if damage and shard in in_manifest:
            storage.delete([commit_key(shard)])
            lines.append(f"shard {shard}: {damage}; its commit is withdrawn, and annotate will do it again")
            kept |= named
    return lines, kept


def _find_damage(storage: Storage, shard: str) -> tuple[str, set[str]]:
    """Describes what is wrong with a commit or its files ("" if nothing is), and returns the keys of its files."""
    files = _committed_files(storage, shard)
    if files is None:
        return "its commit cannot be read", _possible_keys(shard)
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
    """Removes files that no commit names (but for `kept`), temporary files of processes that were killed, and uploads
    that were never finished. The caller holds the run's lock.

    Returns:
        What was done, a line for each.
    """
    named = set(kept or ())
    for shard in committed_shards(storage):
        files = _committed_files(storage, shard)
        named |= _possible_keys(shard) if files is None else set(files)
    orphans = [key for table in TABLES for key in storage.keys(table) if key not in named]
    temporary = [key for key in storage.keys(hidden=True) if _is_temporary(key)]
    storage.delete([*orphans, *temporary])
    lines = []
    if orphans:
        lines.append(f"removed {len(orphans)} files that belong to no commit: {_join_keys(orphans)}")
    if temporary:
        lines.append(f"removed {len(temporary)} temporary files of processes that were killed")
    try:
        uploads = storage.abort_uploads()
    except PermissionError as error:
        # Many a key may write objects and not list uploads; these cost storage, but no reader sees them.
        lines.append(f"uploads that were never finished, if there are any, are left: {describe(error)}")
    else:
        lines += [f"ended {uploads} uploads that were never finished"] if uploads else []
    return lines


def _committed_files(storage: Storage, shard: str) -> dict[str, str] | None:
    """Returns the sha256 of the files that a commit names, by key; None if it cannot be read."""
    try:
        return {str(file["path"]): str(file["sha256"]) for file in read_commit(storage, shard)["files"]}
    except (ValueError, KeyError, TypeError):
        return None


def _possible_keys(shard: str) -> set[str]:
    """Returns the keys that a commit of this shard may name."""
    return {table_key("images", shard), table_key("faces", shard), meshes_key(shard)}


def _is_temporary(key: str) -> bool:
    """Tells whether a key is that of an incomplete file in a folder that facegpt writes."""
    folder, _, name = key.rpartition("/")
    is_ours = folder in ("", JOURNAL, TOMBSTONES) or f"{folder}/".startswith(RUN_FOLDERS)
    return is_ours and TEMPORARY.fullmatch(name) is not None


def _join_keys(keys: list[str]) -> str:
    """Joins the first `SHOWN` keys, and counts the others."""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
