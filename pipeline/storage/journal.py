"""The journal: what is kept of a rewrite of several committed files, so that it can be finished if the process dies.

The new files are written to OUTPUT/.journal first, where no reader of a table looks. The journal's record, written
last, makes the rewrite final: before it nothing has happened, after it `replay_journal` finishes the rewrite, however
often that is begun.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.storage.locations import local_path
from pipeline.storage.store import Storage

JOURNAL = ".journal"
FORMAT = "facegpt-journal"
RECORD_SUFFIX = ".json"
LAST_FOLDER = "commits/"
"""Folder that is written after everything else, and deleted from before it: a commit never names a missing file."""


class Rewrite:
    """Files that a rewrite will write and remove, as they are collected; none of them is in its place yet."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        # Each attempt has keys of its own: one that was given up cannot mix with the next.
        self.attempt = f"{JOURNAL}/{name}-{uuid.uuid4().hex[:8]}"
        self.files: list[dict[str, Any]] = []
        self.removed: list[str] = []

    @property
    def record_key(self) -> str:
        """Key of the journal's record."""
        return self.attempt + RECORD_SUFFIX

    @property
    def staged(self) -> list[str]:
        """Keys of the staged files: the journal without its record."""
        return [str(file["staged"]) for file in self.files]

    def write(self, key: str, data: bytes) -> None:
        """Stages `data`, to be stored under `key`."""
        staged = f"{self.attempt}.{len(self.files):06d}"
        digest = hashlib.sha256(data).hexdigest()
        self.files.append({"path": key, "staged": staged, "bytes": len(data), "sha256": digest})
        self.storage.write(staged, data)

    def remove(self, *keys: str) -> None:
        """Marks what is stored under `keys` for removal."""
        self.removed += keys

    def record(self) -> dict[str, Any]:
        """Returns the journal's record: the files to write, with their sha256, and those to remove."""
        return {"format": FORMAT, "write": self.files, "remove": self.removed}


@contextmanager
def rewrite_atomically(storage: Storage, name: str) -> Iterator[Rewrite]:
    """Collects a rewrite in the block, and applies it at its end: all of it, or nothing where the block fails.

    Args:
        storage: of the output.
        name: of the rewrite, of letters, digits and dashes; `finish_rewrite` finds it by that.

    Raises:
        OSError: the output cannot be written. If the record was stored, `replay_journal` finishes the rewrite.
    """
    rewrite = Rewrite(storage, name)
    try:
        yield rewrite
        _require_writable(storage, [*(str(file["path"]) for file in rewrite.files), *rewrite.removed])
    except BaseException as error:
        try:
            storage.delete(rewrite.staged)
        except Exception as second:
            error.add_note(f"what was written below {JOURNAL} could not be removed: {second}")
        raise
    if rewrite.files or rewrite.removed:
        # Should this fail, then nothing is cleaned up: on S3 the record may be there all the same.
        storage.write(rewrite.record_key, json.dumps(rewrite.record(), indent=1).encode())
        _apply(storage, rewrite.record_key)


def pending_rewrites(storage: Storage) -> list[str]:
    """Lists the keys of the records whose rewrites are final but not finished."""
    return [key for key in storage.keys(JOURNAL) if key.endswith(RECORD_SUFFIX)]


def finish_rewrite(storage: Storage, name: str) -> None:
    """Finishes what an earlier attempt at the rewrite `name` began, and leaves other rewrites alone."""
    for key in pending_rewrites(storage):
        if key.removeprefix(f"{JOURNAL}/").removesuffix(RECORD_SUFFIX).rpartition("-")[0] == name:
            _apply(storage, key)


def replay_journal(storage: Storage) -> list[str]:
    """Finishes every rewrite that has a record, and drops staged files without one. The caller holds the run's lock.

    Returns:
        What was done, a line for each rewrite.

    Raises:
        UsageError: a journal is damaged; its rewrite has not been begun by this call.
    """
    lines = []
    for key in pending_rewrites(storage):
        _check(storage, key)
        count = _apply(storage, key)
        lines.append(f"finished a change of {count} files that had been interrupted")
    leftovers = storage.keys(JOURNAL)
    if leftovers:
        storage.delete(leftovers)
        lines.append(
            f"dropped {len(leftovers)} files of a change that had been interrupted before it took effect"
        )
    return lines


def _apply(storage: Storage, key: str) -> int:
    """Puts every file in its place, then removes the journal, its record first; returns the number of files."""
    record = _read_record(storage, key)
    storage.delete([path for path in record["remove"] if path.startswith(LAST_FOLDER)])
    for file in sorted(record["write"], key=lambda file: str(file["path"]).startswith(LAST_FOLDER)):
        storage.write(file["path"], _read_staged(storage, key, file))
    storage.delete([path for path in record["remove"] if not path.startswith(LAST_FOLDER)])
    # As long as there is a record, all that it names is there.
    storage.delete([key])
    storage.delete([file["staged"] for file in record["write"]])
    return len(record["write"]) + len(record["remove"])


def _check(storage: Storage, key: str) -> None:
    """Raises UsageError unless the record can be read and its staged files are those that it names."""
    for file in _read_record(storage, key)["write"]:
        _read_staged(storage, key, file)


def _read_record(storage: Storage, key: str) -> dict[str, Any]:
    """Reads a journal's record; raises UsageError if it is none, or names paths outside of the output."""
    try:
        record = json.loads(storage.read(key))
    except ValueError as error:
        raise UsageError(_damage_message(storage, key, f"it is no JSON ({error})")) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UsageError(_damage_message(storage, key, "it is no journal of facegpt"))
    try:
        kinds = {type(file[name]) for file in record["write"] for name in ("path", "staged", "sha256")}
        paths = [*(file["path"] for file in record["write"]), *record["remove"]]
    except (KeyError, TypeError):
        raise UsageError(
            _damage_message(storage, key, "it does not say what to write and what to remove")
        ) from None
    if {*kinds, *map(type, paths)} - {str}:
        raise UsageError(_damage_message(storage, key, "its paths are no text"))
    for path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise UsageError(_damage_message(storage, key, f"{path} lies outside of the output"))
    return record


def _read_staged(storage: Storage, key: str, file: dict[str, Any]) -> bytes:
    """Reads a staged file of the record `key`; raises UsageError if it is missing or has changed."""
    try:
        data = storage.read(file["staged"])
    except FileNotFoundError:
        raise UsageError(_damage_message(storage, key, f"{file['staged']} is missing")) from None
    if hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise UsageError(_damage_message(storage, key, f"{file['staged']} has changed"))
    return data


def _require_writable(storage: Storage, keys: Iterable[str]) -> None:
    """Raises PermissionError if a local folder refuses new files: a rewrite that began there would stay half done."""
    if storage.remote:
        return  # only trying would tell
    root = Path(local_path(storage.root))
    for folder in sorted({(root / key).parent for key in keys}):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _damage_message(storage: Storage, key: str, why: str) -> str:
    """Formats the error line for a journal that cannot be replayed."""
    return (
        f"the journal {storage.uri(key)} cannot be replayed: {why}; remove it by hand to give its change up, then "
        "`facegpt verify OUTPUT --repair`"
    )
