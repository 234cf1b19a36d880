"""Large JPEGs are decoded to what detection and crops need."""

from __future__ import annotations

import io

import numpy as np
import pytest
from images import encoded
from numpy.typing import NDArray
from PIL import Image

import facegpt.photo.decode as decoding
from facegpt.photo.config import DecodeConfig, DetectorConfig
from facegpt.photo.crop import crop_matrix, cut, needed_reduction, reduced
from facegpt.photo.decode import Decoded, DecodeError, RejectedError, decode
from facegpt.photo.detectors.base import Detection, Framing
from facegpt.photo.finder import FaceFinder

CONFIG = DecodeConfig()
CROP = 112
Pixels = NDArray[np.uint8]


def smooth(width: int, height: int) -> Image.Image:
    """Colours that a JPEG keeps, and that tell where in the picture they are."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 / width, y * 255 / height, 128 + 60 * np.sin(x / 60) * np.cos(y / 60)], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def jpeg(picture: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture, "JPEG", exif=exif, quality=95, subsampling=0)


@pytest.mark.parametrize(
    ("size", "side", "reduction"),
    [
        ((640, 480), 640, 1),
        ((640, 480), 321, 1),
        ((640, 480), 320, 2),
        ((480, 640), 160, 4),
        ((640, 480), 10, 8),
        ((641, 479), 160, 4),
    ],
)
def test_a_jpeg_is_shrunk_by_the_largest_factor_that_leaves_the_side(
    size: tuple[int, int], side: int, reduction: int
) -> None:
    image = decode(jpeg(smooth(*size)), CONFIG, side)
    assert (image.reduction, (image.width, image.height)) == (reduction, size)
    assert image.rgb.shape == (-(-size[1] // reduction), -(-size[0] // reduction), 3)


def test_a_small_jpeg_and_other_formats_are_decoded_as_ever() -> None:
    for data in (jpeg(smooth(300, 200)), encoded(smooth(900, 600))):
        image, whole = decode(data, CONFIG, 200), decode(data, CONFIG)
        assert image.reduction == 1 and image.again is None
        np.testing.assert_array_equal(image.rgb, whole.rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(480, 320), (484, 326), (481, 323)])
def test_pixels_of_a_shrunk_image_lie_where_they_are_said_to(size: tuple[int, int], orientation: int) -> None:
    """Pixel i stands for those from i * reduction on, upright, whatever the orientation of the file."""
    data = jpeg(smooth(*size), orientation)
    image, whole = decode(data, CONFIG, 120), decode(data, CONFIG)
    assert (image.width, image.height) == (whole.width, whole.height)
    assert image.reduction == (4 if size == (480, 320) or orientation == 1 else 2 if size[0] == 484 else 1)
    r = image.reduction
    height, width = whole.height // r, whole.width // r
    means = whole.rgb[: height * r, : width * r].reshape(height, r, width, r, 3).mean((1, 3))
    np.testing.assert_allclose(image.rgb[:height, :width], means, atol=3)


def test_it_is_decoded_once_more_where_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    data, opened = jpeg(smooth(960, 640)), []
    real = Image.open
    monkeypatch.setattr(decoding.Image, "open", lambda *a, **k: opened.append(1) or real(*a, **k))
    image = decode(data, CONFIG, 120)
    assert image.reduction == 8 and image.reduced_by_at_most(9.0) is image
    finer = image.reduced_by_at_most(3.9)
    assert finer.reduction == 2 and finer.rgb.shape == (320, 480, 3) and len(opened) == 2
    assert image.reduced_by_at_most(2.0) is finer and len(opened) == 2
    np.testing.assert_array_equal(image.reduced_by_at_most(1.0).rgb, decode(data, CONFIG).rgb)


def test_damage_and_bounds_are_told_as_of_a_whole_image() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (640, 960, 3), np.uint8))
    data = jpeg(noise)
    for part in (len(data) // 2, len(data) - 100):
        with pytest.raises(DecodeError) as whole:
            decode(data[:part], CONFIG)
        with pytest.raises(DecodeError, match="truncated") as shrunk:
            decode(data[:part], CONFIG, 120)
        assert str(shrunk.value) == str(whole.value)
    with pytest.raises(DecodeError, match="960 x 640 px are more than 100,000"):
        decode(data, DecodeConfig(max_pixels=100_000), 120)
    with pytest.raises(RejectedError, match="400 x 40 px: a side is below 64") as caught:
        decode(jpeg(smooth(40, 400), 6), DecodeConfig(min_side=64), 50)
    assert (caught.value.width, caught.value.height) == (400, 40)


@pytest.mark.parametrize("turns", [0, 1])
def test_a_crop_of_a_shrunk_image_is_that_of_the_image(turns: int) -> None:
    image = decode(jpeg(smooth(960, 960)), CONFIG, 240)
    face = Detection((200.0, 150.0, 650.0, 600.0), 1.0, quarter_turns=turns)
    matrix = crop_matrix(face, Framing(1.3, 0.05, -0.1), CROP)
    assert image.reduction == 4 and needed_reduction(matrix) == pytest.approx(450 * 1.3 / CROP)
    whole = cut(decode(jpeg(smooth(960, 960)), CONFIG).rgb, matrix, CROP)
    np.testing.assert_allclose(cut(image.rgb, reduced(matrix, 4), CROP).astype(int), whole, atol=4)


def enlarged(portrait: Pixels, side: int, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(portrait).resize((side, side), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=quality
    )
    return buffer.getvalue()


def test_a_large_photo_gives_the_faces_and_crops_of_its_pixels(portrait: Pixels) -> None:
    """The face is 0.2 of the side: 400 px of 2048, which 112 px show as well from a half, but 336 px do not."""
    data = enlarged(portrait, 2048)
    for size, used in ((CROP, 2), (3 * CROP, 1)):
        finder = FaceFinder(DecodeConfig(), DetectorConfig(), size)
        image = finder.decode(data)
        assert image.reduction == 2 and (image.width, image.height) == (2048, 2048)
        (face,) = finder(data).faces
        (same,) = finder(Decoded(decode(data, CONFIG).rgb)).faces
        np.testing.assert_allclose(face.box, same.box, atol=0.05 * face.face_px)
        exact = cut(decode(data, CONFIG).rgb, face.crop_matrix, size)
        difference = np.abs(face.crop.astype(int) - exact)
        assert difference.mean() < (0.001 if used == 1 else 2)


def test_a_detector_that_wants_the_image_as_it_is_gets_it(portrait: Pixels) -> None:
    finder = FaceFinder(DecodeConfig(), DetectorConfig(name="null"), CROP)
    assert finder.decode(enlarged(portrait, 4096, 30)).reduction == 1
