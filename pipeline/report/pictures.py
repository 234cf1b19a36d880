"""Pictures inside the page, which needs no other file."""

from __future__ import annotations

import base64
import io

from PIL import Image


def data_uri(image: Image.Image) -> str:
    """Encodes a picture as a `data:` URI (JPEG)."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=84, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
