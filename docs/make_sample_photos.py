"""Makes facegpt/assets/sample-photos: `python docs/make_sample_photos.py OFFICER`, with the JPEG that its card names.

The files are committed, since encoders of other versions write other bytes, and an image's id is a hash of its bytes.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PLACE = Path(__file__).parents[1] / "facegpt" / "assets" / "sample-photos"
PANEL = (288, 360)
GAP = 12
ASKEW = 15
"""Degrees counter-clockwise; what is cut out of the turned photo lies within it."""
ORIENTATION, TURN_CLOCKWISE = 0x0112, 6


def main(officer: str) -> None:
    astronaut, photographer = (_skimage(name) for name in ("astronaut.png", "camera.png"))
    navy = Image.open(officer).convert("RGB")
    _save(navy.crop((0, 0, 512, 440)), "cap-and-glasses.jpg")
    _save(navy.crop((40, 0, 400, 245)), "cut-by-the-edge.jpg")
    _save(astronaut.crop((112, 10, 332, 230)).resize((96, 96), Image.Resampling.LANCZOS), "thumbnail.jpg")
    panels = (
        astronaut.crop((100, 0, 340, 300)),
        photographer.crop((100, 50, 300, 300)),
        navy.crop((110, 0, 430, 400)),
    )
    _save(_side_by_side(panels), "contact-sheet.jpg")
    tag = Image.Exif()
    tag[ORIENTATION] = TURN_CLOCKWISE
    askew = navy.rotate(ASKEW, Image.Resampling.BICUBIC, center=(267, 225)).crop((117, 55, 417, 395))
    _save(askew.transpose(Image.Transpose.ROTATE_90), "stored-sideways.jpg", tag)


def _skimage(name: str) -> Image.Image:
    """Opens a photo of the package scikit-image."""
    spec = find_spec("skimage")
    (root,) = (spec.submodule_search_locations or []) if spec else []
    return Image.open(Path(root) / "data" / name).convert("RGB")


def _side_by_side(panels: tuple[Image.Image, ...]) -> Image.Image:
    """Lays photos beside each other on white."""
    width, height = PANEL
    sheet = Image.new("RGB", (len(panels) * (width + GAP) + GAP, height + 2 * GAP), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel.resize(PANEL, Image.Resampling.LANCZOS), (GAP + index * (width + GAP), GAP))
    return sheet


def _save(photo: Image.Image, name: str, exif: Image.Exif | None = None) -> None:
    """Writes a JPEG."""
    photo.save(PLACE / name, quality=90, exif=exif or Image.Exif())
    print(f"{name:24} {photo.size}, {(PLACE / name).stat().st_size} bytes")


main(*sys.argv[1:])
