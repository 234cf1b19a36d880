"""Reads a photo again to draw on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import DecodeConfig
from pipeline.decode import DecodeError, RejectedError, decode, image_id_of
from pipeline.storage import read_uri


def open_photo(row: Mapping[str, Any], config: DecodeConfig) -> tuple[NDArray[np.uint8] | None, str]:
    """The upright photo (height, width, 3) of a row of faces, or None with a note of what keeps it from being shown."""
    try:
        data = read_uri(row["uri"], config.max_bytes)
        if image_id_of(data) != row["image_id"]:
            return None, "the photo was changed since"
        return decode(data, config).rgb, ""
    except FileNotFoundError:
        return None, "the photo is no longer where it was"
    except (OSError, ValueError, DecodeError, RejectedError) as error:
        return None, f"the photo cannot be read: {error}"
