"""Several committed files changed together: written beside them first, recorded, and only then put in their places.

The journal lies below OUTPUT/.journal, where no reader of a table looks. Its record, written last, makes the change
final: before it nothing has happened, after it `replay` finishes the change, however often that is begun.
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
RECORD = ".json"
LAST = "commits/"
"""What is put in place after everything else, and removed before it: a commit never names what is not there."""


class Changes:
    """What a change writes and removes, as it is collected; nothing is in its place yet."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        # Each attempt has keys of its own: one that was given up cannot mix with the next.
        self.attempt = f"{JOURNAL}/{name}-{uuid.uuid4().hex[:8]}"
        self.files: list[dict[str, Any]] = []
        self.removed: list[str] = []

    @property
    def staged(self) -> list[str]:
        """The journal's own files, without its record."""
        return [str(file["staged"]) for file in self.files]

    def write(self, key: str, data: bytes) -> None:
        """`data` is to be stored under `key`."""
        staged = f"{self.attempt}.{len(self.files):06d}"
        digest = hashlib.sha256(data).hexdigest()
        self.files.append({"path": key, "staged": staged, "bytes": len(data), "sha256": digest})
        self.storage.write(staged, data)

    def remove(self, *keys: str) -> None:
        """What is stored under `keys` is to be removed."""
        self.removed += keys

    def record(self) -> dict[str, Any]:
        return {"format": FORMAT, "write": self.files, "remove": self.removed}


@contextmanager
def rewriting(storage: Storage, name: str) -> Iterator[Changes]:
    """Collects changes in the block, and makes them at its end: all, or none where the block fails.

    Args:
        storage: of the output.
        name: of the change, of letters, digits and dashes; `finish` knows it by that.

    Raises:
        OSError: the output cannot be written. If a record is there, `replay` finishes the change.
    """
    changes = Changes(storage, name)
    try:
        yield changes
        _require_writable(storage, [*(str(file["path"]) for file in changes.files), *changes.removed])
    except BaseException as error:
        try:
            storage.delete(changes.staged)
        except Exception as second:
            error.add_note(f"what was written below {JOURNAL} could not be removed: {second}")
        raise
    if changes.files or changes.removed:
        # Should this fail, then nothing is cleaned up: on S3 the record may be there all the same.
        storage.write(changes.attempt + RECORD, json.dumps(changes.record(), indent=1).encode())
        _apply(storage, changes.attempt + RECORD)


def _require_writable(storage: Storage, keys: Iterable[str]) -> None:
    """Raises PermissionError if a folder lets no file of it be exchanged: a change that began would stay half done."""
    if storage.remote:
        return  # only trying would tell
    root = Path(local_path(storage.root))
    for folder in sorted({(root / key).parent for key in keys}):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def pending(storage: Storage) -> list[str]:
    """The records of changes that are final but not finished."""
    return [key for key in storage.keys(JOURNAL) if key.endswith(RECORD)]


def finish(storage: Storage, name: str) -> None:
    """Finishes what an earlier attempt at the change `name` began, and leaves other changes alone."""
    for key in pending(storage):
        if key.removeprefix(f"{JOURNAL}/").removesuffix(RECORD).rpartition("-")[0] == name:
            _apply(storage, key)


def replay(storage: Storage) -> list[str]:
    """Finishes what is recorded, drops what is not. The caller holds the run's lock.

    Returns:
        What was done, a line for each.

    Raises:
        UsageError: a journal is damaged; its change has not been begun by this call.
    """
    said = []
    for key in pending(storage):
        _check(storage, key)
        count = _apply(storage, key)
        said.append(f"finished a change of {count} files that had been interrupted")
    left = storage.keys(JOURNAL)
    if left:
        storage.delete(left)
        said.append(f"dropped {len(left)} files of a change that had been interrupted before it took effect")
    return said


def _read(storage: Storage, key: str) -> dict[str, Any]:
    try:
        record = json.loads(storage.read(key))
    except ValueError as error:
        raise UsageError(_damaged(storage, key, f"it is no JSON ({error})")) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UsageError(_damaged(storage, key, "it is no journal of facegpt"))
    try:
        kinds = {type(file[name]) for file in record["write"] for name in ("path", "staged", "sha256")}
        paths = [*(file["path"] for file in record["write"]), *record["remove"]]
    except (KeyError, TypeError):
        raise UsageError(_damaged(storage, key, "it does not say what to write and what to remove")) from None
    if {*kinds, *map(type, paths)} - {str}:
        raise UsageError(_damaged(storage, key, "its paths are no text"))
    for path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise UsageError(_damaged(storage, key, f"{path} lies outside of the output"))
    return record


def _check(storage: Storage, key: str) -> None:
    for file in _read(storage, key)["write"]:
        _staged(storage, key, file)


def _staged(storage: Storage, key: str, file: dict[str, Any]) -> bytes:
    try:
        data = storage.read(file["staged"])
    except FileNotFoundError:
        raise UsageError(_damaged(storage, key, f"{file['staged']} is missing")) from None
    if hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise UsageError(_damaged(storage, key, f"{file['staged']} has changed"))
    return data


def _damaged(storage: Storage, key: str, why: str) -> str:
    return (
        f"the journal {storage.uri(key)} cannot be replayed: {why}; remove it by hand to give its change up, then "
        "`facegpt verify OUTPUT --repair`"
    )


def _apply(storage: Storage, key: str) -> int:
    """Puts everything in its place, then removes the journal, its record first; returns the number of files."""
    record = _read(storage, key)
    storage.delete([path for path in record["remove"] if path.startswith(LAST)])
    for file in sorted(record["write"], key=lambda file: str(file["path"]).startswith(LAST)):
        storage.write(file["path"], _staged(storage, key, file))
    storage.delete([path for path in record["remove"] if not path.startswith(LAST)])
    # As long as there is a record, all that it names is there.
    storage.delete([key])
    storage.delete([file["staged"] for file in record["write"]])
    return len(record["write"]) + len(record["remove"])
