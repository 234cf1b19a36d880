"""Reads a photo again to draw on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegpt.photo.config import DecodeConfig
from facegpt.photo.decode import DecodeError, RejectedError, decode, image_id_of
from pipeline.shards.manifest import ShardLoader, read_manifest
from pipeline.sources import Fetcher
from pipeline.sources.locators import MEMBER_SEPARATOR
from pipeline.storage.locations import Entry
from pipeline.storage.store import Storage


def entries_of(storage: Storage, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Entry]:
    """For rows of faces whose photo lies in a tar or Parquet file, what the manifest says of it, by shard and URI."""
    wanted = {(row["shard"], row["uri"]) for row in rows if MEMBER_SEPARATOR in row["uri"]}
    if not wanted:
        return {}
    shards, load = {shard for shard, _ in wanted}, ShardLoader(storage)
    tasks = [load(ref) for ref in read_manifest(storage).shards if ref.shard in shards]
    return {
        (task.shard, entry.uri): entry
        for task in tasks
        for entry in task.images
        if (task.shard, entry.uri) in wanted
    }


def open_photo(
    row: Mapping[str, Any], config: DecodeConfig, entry: Entry | None = None
) -> tuple[NDArray[np.uint8] | None, str]:
    """The upright photo (height, width, 3) of a row of faces, or None with a note of what keeps it from being shown.

    `entry`: of the photo, where its URI does not say all, since it lies in a tar or Parquet file.
    """
    try:
        data = Fetcher(config.max_bytes)(entry or Entry(row["uri"], None, None)).data
        if image_id_of(data) != row["image_id"]:
            return None, "the photo was changed since"
        return decode(data, config).rgb, ""
    except FileNotFoundError:
        return None, "the photo is no longer where it was"
    except (OSError, ValueError, DecodeError, RejectedError) as error:
        return None, f"the photo cannot be read: {error}"
