"""Inputs of a run: folders, images, tars, Parquet files and lists, local or on S3, listed and fetched as entries."""

from pipeline.sources.fetch import Fetched, Fetcher
from pipeline.sources.listing import Listing
from pipeline.sources.names import is_image

__all__ = ["Fetched", "Fetcher", "Listing", "is_image"]
