"""The table `images`, the ledger: exactly one row per input image, with what became of it."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column
from schemas.version import SCHEMA_VERSION

STATUSES = ("annotated", "no_face", "rejected", "failed")
"""annotated: has rows in `faces`; no_face: no face was detected; rejected: readable, not wanted; failed: see stage and
reason."""

STAGES = ("fetch", "decode", "detect", "annotate")
"""Stages of an image, in order; its row names the last one that it reached."""


def images_schema() -> pa.Schema:
    """Builds the schema of `images`: exactly one row per row of the manifest."""
    return pa.schema(
        [
            column("uri", pa.string(), "as in the manifest"),
            column("image_id", pa.string(), "first 32 hex digits of the sha256 of the file", nullable=True),
            column("shard", pa.string(), "as in the manifest"),
            column("bytes", pa.int64(), "size of the file as it was read", unit="bytes", nullable=True),
            column("width", pa.int32(), "after EXIF orientation", unit="px", nullable=True),
            column("height", pa.int32(), "after EXIF orientation", unit="px", nullable=True),
            column("status", pa.string(), " | ".join(STATUSES)),
            column("stage", pa.string(), "how far it went: " + " | ".join(STAGES)),
            column("reason", pa.string(), "why it failed or was rejected", nullable=True),
            column("n_faces", pa.int32(), "rows of this image in `faces`"),
            column(
                "source_caption",
                pa.string(),
                "the text that the source has beside the image (in a tar or Parquet file), as it stands there, cut off",
                nullable=True,
            ),
        ],
        metadata={"schema_version": SCHEMA_VERSION, "table": "images"},
    )
