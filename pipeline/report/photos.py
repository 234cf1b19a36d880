"""Reads a photo again to draw on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from pipeline.config import DecodeConfig
from pipeline.decode import DecodeError, RejectedError, decode, image_id_of
from pipeline.storage import read_uri


def open_photo(row: Mapping[str, Any], config: DecodeConfig) -> tuple[Image.Image | None, str]:
    """The upright photo of a row of faces and an empty note, or None and what keeps it from being shown."""
    try:
        data = read_uri(row["uri"], config.max_bytes)
        if image_id_of(data) != row["image_id"]:
            return None, "the photo was changed since"
        return Image.fromarray(decode(data, config).rgb), ""
    except FileNotFoundError:
        return None, "the photo is no longer where it was"
    except (OSError, ValueError, DecodeError, RejectedError) as error:
        return None, f"the photo cannot be read: {error}"
