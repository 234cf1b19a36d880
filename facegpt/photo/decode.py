"""From a file's bytes to upright 8-bit RGB, bounded, with reasons that a person understands."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from facegpt.photo.config import DecodeConfig

# Formats that only hold pixels: EPS would start Ghostscript, the others of Pillow are documents or rarities.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
MAGIC = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"MM\0+", "TIFF"),
)
PAPER = (255, 255, 255)
REDUCTIONS = (8, 4, 2, 1)
"""What libjpeg can shrink a JPEG by while it decodes it, which saves time."""
UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error, ZeroDivisionError)
"""What Pillow raises on damaged EXIF data."""

# The size is checked below, before any pixel is decoded, against the configured bound instead of Pillow's own.
Image.MAX_IMAGE_PIXELS = None
# What Pillow says of damaged tags on standard error belongs to no image in particular once many are read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class DecodeError(Exception):
    """The bytes are no image that can be read; the message says why."""


class RejectedError(Exception):
    """The image can be read but is not wanted; the message says why. `width` and `height` are of the upright image."""

    def __init__(self, message: str, width: int, height: int) -> None:
        super().__init__(message)
        self.width = width
        self.height = height


@dataclass(frozen=True)
class Decoded:
    """An upright image: `rgb` uint8 (height, width, 3).

    Of a large JPEG, `rgb` may be shrunk by the whole factor `reduction`: its pixel (0, 0) then stands for those of the
    image with both coordinates below it. `size` is that of the image, if it is another, and `again` decodes it anew
    with another reduction.
    """

    rgb: NDArray[np.uint8]
    reduction: int = 1
    size: tuple[int, int] | None = None
    again: Callable[[int], Decoded] | None = None

    @property
    def width(self) -> int:
        """Of the image, in its own pixels."""
        return int(self.rgb.shape[1]) if self.size is None else self.size[0]

    @property
    def height(self) -> int:
        """Of the image, in its own pixels."""
        return int(self.rgb.shape[0]) if self.size is None else self.size[1]

    def reduced_by_at_most(self, factor: float) -> Decoded:
        """Gives the image shrunk by no more than a factor (1 or more): as it is, or decoded anew, which is kept."""
        if self.reduction <= factor or self.again is None:
            return self
        return self.again(next(reduction for reduction in REDUCTIONS if reduction <= factor))


def image_id_of(data: bytes) -> str:
    """First 32 hex digits of the sha256 of the file's bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


def pixels_id_of(rgb: NDArray[np.uint8]) -> str:
    """32 hex digits from pixels (height, width, 3) that came without a file; no file's `image_id_of` is the same."""
    height, width = rgb.shape[:2]
    digest = hashlib.sha256(f"{width} x {height} RGB ".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()[:32]


def decode(data: bytes, config: DecodeConfig, side: int | None = None) -> Decoded:
    """Decodes the first frame, turned as its EXIF orientation says; transparent parts become white.

    16-bit, CMYK, palette and grey images become 8-bit RGB. Colour profiles are not applied. With `side`, a JPEG whose
    longer side is at least twice that is shrunk, to no less.

    Raises:
        DecodeError: unknown, damaged, truncated, or more than `max_pixels`.
        RejectedError: a side below `min_side`.
    """
    with _opened(data) as image:
        reduction = 1 if side is None else _reduction(image, side)
        decoded = from_picture(image, config, reduction)
    if decoded.reduction == 1:
        return decoded
    return replace(decoded, again=cache(partial(_decode_reduced, data, config)))


def _decode_reduced(data: bytes, config: DecodeConfig, reduction: int) -> Decoded:
    with _opened(data) as image:
        return from_picture(image, config, reduction)


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise DecodeError("the file is empty")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise DecodeError(_what_it_is(data)) from None
    except Exception as error:
        raise DecodeError(f"damaged or unsupported {_kind(data[:16])} header: {_text(error)}") from error


def _reduction(image: Image.Image, side: int) -> int:
    """The largest whole factor that leaves a JPEG's longer side at `side` px, and whole pixels where it is turned: what
    is left over at its right and lower edge would else lie at another edge.
    """
    if not isinstance(image, JpegImageFile):
        return 1
    try:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except UNREADABLE:
        upright = True
    for reduction in REDUCTIONS:
        whole = not any(extent % reduction for extent in image.size)
        if max(image.size) >= side * reduction and (whole or upright):
            return reduction
    return 1


def from_picture(image: Image.Image, config: DecodeConfig, reduction: int = 1) -> Decoded:
    """Makes an upright 8-bit RGB image of an opened picture, as `decode` does of a file's; leaves it open.

    `reduction`: what a JPEG is shrunk by, 1, 2, 4 or 8.

    Raises:
        DecodeError: its data are damaged or truncated, or it has more than `max_pixels`.
        RejectedError: a side below `min_side`.
    """
    stored = image.size
    _check_pixels(*stored, config)
    if reduction > 1:
        image.draft(None, (max(1, stored[0] // reduction), max(1, stored[1] // reduction)))
        # Pillow leaves a file that it cannot shrink as it is.
        reduction = 1 if image.size == stored else reduction
    try:
        image.load()
    except Exception as error:
        # Pillow's plugins raise OSError, ValueError, SyntaxError, struct.error and more on damaged data.
        raise DecodeError(f"damaged or truncated {image.format} data: {_text(error)}") from error
    upright = _upright(image)
    size = stored if upright.size == image.size else stored[::-1]
    _check_sides(*size, config)
    try:
        rgb = np.asarray(_to_rgb(upright))
    except Exception as error:
        raise DecodeError(
            f"{image.format} pixels of mode {upright.mode} cannot be converted: {_text(error)}"
        ) from error
    return Decoded(np.ascontiguousarray(rgb), reduction, size)


def from_array(rgb: NDArray[np.uint8], config: DecodeConfig) -> Decoded:
    """Takes upright pixels (height, width, 3), uint8 RGB, as they are.

    Raises:
        DecodeError: an array of another form, or of more than `max_pixels`.
        RejectedError: a side below `min_side`.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise DecodeError(
            f"an array of {rgb.dtype} {rgb.shape}, where uint8 (height, width, 3) in RGB is wanted"
        )
    height, width = rgb.shape[:2]
    _check_pixels(width, height, config)
    _check_sides(width, height, config)
    return Decoded(np.ascontiguousarray(rgb))


def _check_pixels(width: int, height: int, config: DecodeConfig) -> None:
    if width * height > config.max_pixels:
        raise DecodeError(
            f"{width:,} x {height:,} px are more than {config.max_pixels:,} (decode.max_pixels): "
            "a decompression bomb, or raise the bound"
        )


def _check_sides(width: int, height: int, config: DecodeConfig) -> None:
    if min(width, height) < config.min_side:
        reason = f"{width} x {height} px: a side is below {config.min_side} px (decode.min_side)"
        raise RejectedError(reason, width, height)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:
        # EXIF data that cannot be read says nothing about the orientation: the pixels are as they should be shown.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_8_bit(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        cut_out = image.convert("RGBA")
        paper = Image.new("RGBA", cut_out.size, (*PAPER, 255))
        return Image.alpha_composite(paper, cut_out).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey values of unknown depth: white is 1.0, 255, 65535 or their own maximum, whichever first holds them all."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    largest = float(values.max(initial=0.0))
    fractional = bool((values % 1 != 0).any())
    white = next(
        (bound for bound in ((1.0,) if fractional else ()) + (255.0, 65535.0) if largest <= bound), largest
    )
    return np.asarray((values * (255.0 / white)).round(), dtype=np.uint8)


def _what_it_is(data: bytes) -> str:
    head = data[:16]
    if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
        return "HEIC is not supported: convert it to JPEG first, for instance `heif-convert photo.heic photo.jpg`"
    if data[:512].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "an HTML page, not an image"
    if data[:512].lstrip().startswith((b"<svg", b"<?xml")):
        return "an XML or SVG document, not a photo"
    if head.startswith(b"%PDF"):
        return "a PDF document, not an image"
    if not any(data):
        return "nothing but zero bytes"
    kind = _kind(head)
    if kind:
        return f"starts like a {kind} file, but its header is damaged or of an unknown kind"
    return f"not an image of a known format (first bytes {head[:8].hex(' ')})"


def _kind(head: bytes) -> str:
    return next((name for magic, name in MAGIC if head.startswith(magic)), "")


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
