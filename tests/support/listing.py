"""A listing as one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.shards.shard import ShardTask
from pipeline.sources import Listing
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage


def listed(location: str | Path, **options: Any) -> list[Entry]:
    """All images of an input, in the listing's order."""
    return [entry for chunk in Listing(str(location), **options) for entry in chunk]


def tasks_of(storage: Storage) -> list[ShardTask]:
    """The shards of an output's manifest, with their images."""
    return list(map(ShardLoader(storage), read_manifest(storage).shards))
