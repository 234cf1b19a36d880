"""A photo in any of the forms that the library takes: a path, a file's bytes, a PIL picture, an array of pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegpt.library.errors import PhotoError
from facegpt.photo.config import DecodeConfig
from facegpt.photo.decode import (
    Decoded,
    DecodeError,
    RejectedError,
    decode,
    from_array,
    from_picture,
    image_id_of,
    pixels_id_of,
)

PhotoInput: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, a PIL picture, or upright uint8 RGB pixels (height, width, 3)."""


@dataclass(frozen=True)
class OpenedPhoto:
    """A decoded photo: its id, and its absolute path if it has one."""

    image_id: str
    uri: str | None
    image: Decoded


def name_of(photo: PhotoInput, number: int | None = None) -> str:
    """Says what messages call a photo: its path, or its form and, of many, its number from 0.

    Raises:
        TypeError: it is nothing that the library takes.
    """
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    forms = ((bytes, "bytes"), (Image.Image, "PIL picture"), (np.ndarray, "array"))
    form = next((name for kind, name in forms if isinstance(photo, kind)), None)
    if form is None:
        raise TypeError(
            f"a photo is a path, bytes, a PIL picture or a uint8 RGB array, not {type(photo).__name__}"
        )
    return f"the {form}" if number is None else f"photo {number} ({form})"


def open_photo(photo: PhotoInput, config: DecodeConfig, name: str, side: int | None = None) -> OpenedPhoto:
    """Reads and decodes a photo within the bounds of `config`; raises PhotoError, which calls it `name`.

    `side`: a large JPEG may be shrunk to this longer side while it is decoded.

    The id is a hash of the file's bytes, as in a run's tables; of pixels that came without a file, one of the pixels.
    """
    try:
        if isinstance(photo, Image.Image | np.ndarray):
            make = (
                from_picture(photo, config) if isinstance(photo, Image.Image) else from_array(photo, config)
            )
            return OpenedPhoto(pixels_id_of(make.rgb), None, make)
        data = photo if isinstance(photo, bytes) else _read(photo, config.max_bytes)
        if len(data) > config.max_bytes:
            raise DecodeError(f"larger than {config.max_bytes:,} bytes (decode.max_bytes)")
        return OpenedPhoto(
            image_id_of(data), None if isinstance(photo, bytes) else _uri(photo), decode(data, config, side)
        )
    except OSError as error:
        raise PhotoError(name, error.strerror or str(error)) from error
    except (DecodeError, RejectedError) as error:
        raise PhotoError(name, str(error)) from error


def _read(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Reads at most one byte more than `max_bytes`."""
    if "://" in os.fspath(path):
        raise DecodeError("the library reads local files: give it the bytes of what lies at a URL")
    with Path(path).expanduser().open("rb") as file:
        return file.read(max_bytes + 1)


def _uri(path: str | os.PathLike[str]) -> str:
    """Makes the path absolute, as a run writes it; a file:// URL where its name is not UTF-8."""
    absolute = os.path.abspath(os.path.expanduser(path))
    try:
        absolute.encode("utf-8")
    except UnicodeEncodeError:
        return Path(absolute).as_uri()
    return absolute
