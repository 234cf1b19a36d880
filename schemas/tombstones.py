"""The table of tombstones: hashes of forgotten images, which must not come back."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column
from schemas.version import SCHEMA_VERSION


def tombstones_schema() -> pa.Schema:
    """Builds the schema of tombstones: one row of hashes per row that was removed from the manifest."""
    return pa.schema(
        [
            column("image_id", pa.string(), "of the forgotten image, as it stood in `images`"),
            column("version_sha256", pa.string(), "over uri, size and etag of the file, as listed"),
        ],
        metadata={"schema_version": SCHEMA_VERSION, "table": "tombstones"},
    )
