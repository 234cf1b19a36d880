"""Small images as files."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file of this kind."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()
