"""The tombstones: what was forgotten, and must not come back."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column
from schemas.version import SCHEMA_VERSION


def tombstones_schema() -> pa.Schema:
    """One row per row of the manifest that was taken out. Hashes alone: nothing of the image can be read from them."""
    return pa.schema(
        [
            column("image_id", pa.string(), "of the forgotten image, as it stood in `images`"),
            column("version_sha256", pa.string(), "over uri, size and etag of the file, as listed"),
        ],
        metadata={"schema_version": SCHEMA_VERSION, "table": "tombstones"},
    )
