"""The manifest: the images of an output, each with its shard."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column
from schemas.version import SCHEMA_VERSION


def manifest_schema() -> pa.Schema:
    """Builds the schema of the manifest.

    One row per version of an image file: one that changed after it was listed gets a second row, in a later shard.
    """
    return pa.schema(
        [
            column(
                "uri",
                pa.string(),
                "absolute path or s3:// URL (file:// where the path is not UTF-8); !/NAME lies in it",
            ),
            column("size", pa.int64(), "size when it was listed", unit="bytes", nullable=True),
            column(
                "etag",
                pa.string(),
                "ETag of the object, or mtime in ns of the file; @PLACE lies in it",
                nullable=True,
            ),
            column("shard", pa.string(), "id of the shard that holds this image"),
        ],
        metadata={"schema_version": SCHEMA_VERSION, "table": "manifest"},
    )
