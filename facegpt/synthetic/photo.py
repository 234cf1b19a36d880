"""The effects of camera and file on a picture: exposure, colour cast, blur, noise, low resolution and compression."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Rng = np.random.Generator


def developed(picture: F32) -> U8:
    """Converts `picture`, sRGB 0..1, to uint8 without any other change."""
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, np.uint8)


def photograph(rng: Rng, picture: F32) -> U8:
    """Degrades `picture` (H,W,3), sRGB 0..1, as cameras and files do; returns uint8."""
    size = len(picture)
    image: F32 = np.clip(picture, 0, 1) ** np.float32(np.exp(rng.normal() * 0.2))
    image = image * np.float32(rng.uniform(0.75, 1.2)) + np.float32(rng.normal() * 0.04)
    image = image * (1 + rng.normal(size=3) * 0.04).astype(np.float32)
    if rng.random() < 0.45:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.4)), np.float32)
    if rng.random() < 0.08:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        image = np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-3)), np.float32)
    if rng.random() < 0.35:
        small = int(rng.integers(size // 4, size))
        way = (cv2.INTER_AREA, cv2.INTER_LINEAR)[int(rng.integers(2))]
        reduced = cv2.resize(image, (small, small), interpolation=way)
        image = np.asarray(cv2.resize(reduced, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
    if rng.random() < 0.15:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.7:
        grain = rng.normal(size=image.shape).astype(np.float32) * np.float32(rng.gamma(1.5, 0.012))
        image = image + grain
    if rng.random() < 0.15:
        image = image + cv2.GaussianBlur(image, (0, 0), 2.0) * -0.5 + image * 0.5
    result = developed(image)
    if rng.random() < 0.6:
        ok, data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))])
        if not ok:
            raise RuntimeError("OpenCV could not encode a JPEG")
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(result, np.uint8)
