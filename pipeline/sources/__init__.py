"""What a run can read: folders, images, tars, Parquet files, lists, local or on S3; a stream of entries to fetch."""

from __future__ import annotations

from pipeline.sources.ahead import chunks
from pipeline.sources.fetch import Fetched, Fetcher
from pipeline.sources.listing import Counts, Listing
from pipeline.sources.names import IMAGE_EXTENSIONS, LIST_EXTENSIONS, is_image

__all__ = [
    "IMAGE_EXTENSIONS",
    "LIST_EXTENSIONS",
    "Counts",
    "Fetched",
    "Fetcher",
    "Listing",
    "chunks",
    "is_image",
]
