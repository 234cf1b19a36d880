"""run.json: what an output was made with, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import UsageError
from pipeline.storage.store import Storage
from schemas import SCHEMA_VERSION

KEY = "run.json"
FORMAT = "facegpt-run"
REQUIRED: dict[str, type] = {
    "fingerprint": str,
    "fingerprints": dict,
    "config": dict,
    "versions": dict,
    "licences": dict,
    "invocations": list,
}
"""What every record has."""
RUN_FOLDERS = ("manifest/", "images/", "faces/", "meshes/", "commits/", "report/")
"""The folders of what is made from the input. Tombstones are not among them: they outlive even `--replace`."""


def now() -> str:
    """Tells the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(storage: Storage, any_version: bool = False) -> dict[str, Any] | None:
    """Reads the record of the run at `storage`; None where there is nothing yet.

    Args:
        storage: of the output.
        any_version: also take a record of another schema version, or one that lacks something (to delete it).

    Raises:
        UsageError: something else is stored there, it is damaged, or it cannot be reached.
    """
    try:
        if storage.is_file():
            raise UsageError(f"OUTPUT {storage.root} is a file, not a folder")
        data = storage.read(KEY) if storage.exists(KEY) else None
        if data is None:
            if not storage.is_empty():
                raise UsageError(
                    f"OUTPUT {storage.root} holds something else (files, but no {KEY}): choose a new or empty folder"
                )
            return None
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        raise UsageError(f"cannot reach OUTPUT {storage.root}: {' '.join(str(error).split())}") from error
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UsageError(
            f"OUTPUT {storage.root} holds something else: its {KEY} is not of facegpt, or damaged. Choose a new or "
            f"empty folder, or put {KEY} back as it was"
        )
    if record.get("schema_version") != SCHEMA_VERSION and not any_version:
        raise UsageError(
            f"OUTPUT {storage.root} has schema version {record.get('schema_version')}, this facegpt writes "
            f"{SCHEMA_VERSION}: choose a new OUTPUT, or --replace"
        )
    missing = sorted(name for name, kind in REQUIRED.items() if not isinstance(record.get(name), kind))
    if missing and not any_version:
        raise UsageError(
            f"OUTPUT {storage.root} is damaged: its {KEY} does not say its {', '.join(missing)}. Put it back as it "
            "was, choose a new OUTPUT, or --replace"
        )
    return record


def write_record(storage: Storage, record: dict[str, Any]) -> None:
    """Stores run.json."""
    storage.write(KEY, json.dumps(record, indent=1).encode())


def run_keys(storage: Storage) -> Iterable[str]:
    """Lists everything that runs wrote into an output, but for run.json, which says whose place this is."""
    return [key for key in storage.keys() if key.startswith(RUN_FOLDERS)]


def existing_run(storage: Storage) -> dict[str, Any]:
    """Reads the record of a run that must be there; raises UsageError if there is none at `storage`."""
    record = read_record(storage)
    if record is None:
        raise UsageError(f"there is no run at {storage.root}")
    return record
